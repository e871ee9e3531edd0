"""rate_card.yaml: its shape, and the rate card of the domain made from it."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gateway.config_files.judge import did_you_mean
from gateway.config_files.shape import Credits, Date, Name, OptionalText, Shape, Text
from gateway.config_files.yaml_source import YamlSource
from gateway.domain.rate_card import ProductRates, RateCard


class ModePrice(Shape):
    """What a mode costs per unit; a bare number where the product's unit holds."""

    credits: Credits
    unit: OptionalText = None

    @model_validator(mode="before")
    @classmethod
    def _bare_number(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"credits": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "number", "minimum": 0}, handler(core_schema)]}


class ProductShape(Shape):
    """The prices of one product."""

    unit: Text
    """What is counted: page, query."""
    modes: Annotated[Mapping[Text, ModePrice], Field(min_length=1)]
    """Credits per unit, by mode."""
    default_mode: OptionalText = None
    """The mode of a call that sends none; left out: such a call is refused."""
    aliases: Mapping[Text, Text] = Field(default_factory=dict)
    """Other spellings of a mode."""
    add_ons: Mapping[Name, Credits] = Field(default_factory=dict)
    """Further credits per unit."""


class RateCardFile(Shape):
    """One version of the price list, in credits."""

    version: Text
    effective: Date
    """The first day (UTC) these prices hold."""
    products: Annotated[Mapping[Name, ProductShape], Field(min_length=1)]


def check_rate_card(file: RateCardFile, source: YamlSource) -> None:
    """Modes that are named but have no price."""
    for name, product in file.products.items():
        here = ("products", name)
        default = product.default_mode
        if default is not None and default not in product.modes:
            sentence = f"the card has no mode '{default}' for {name}{did_you_mean(default, product.modes)}"
            source.report((*here, "default_mode"), sentence)
        for alias, mode in product.aliases.items():
            if mode not in product.modes:
                sentence = f"the card has no mode '{mode}' for {name}{did_you_mean(mode, product.modes)}"
                source.report((*here, "aliases", alias), sentence)
            if alias in product.modes:
                source.report((*here, "aliases", alias), "is a mode itself, with a price of its own", at_key=True)


def product_rates(name: str, shape: ProductShape) -> ProductRates:
    """The rates of one product in the domain's form."""
    return ProductRates(
        product=name,
        unit=shape.unit,
        rates_millicredits={mode: price.credits for mode, price in shape.modes.items()},
        default_mode=shape.default_mode,
        add_ons_millicredits=dict(shape.add_ons),
        aliases=dict(shape.aliases),
        units={mode: price.unit for mode, price in shape.modes.items() if price.unit is not None},
    )


def rate_card(file: RateCardFile) -> RateCard:
    """The rate card of the domain."""
    products = {name: product_rates(name, shape) for name, shape in file.products.items()}
    return RateCard(file.version, file.effective, products)

"""What may be called from within the gateway's network, and what may not."""

import pytest

from gateway.wire.webhook_url import checked_url, is_public

NOT_PUBLIC = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 169.254.0.1
    169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1
    198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16
    :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 ::8.8.8.8 64:ff9b::7f00:1
    64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:db8::1 2002:7f00:1::
    2002:808:808:: 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1
    localhost example.com 127.1 0x7f000001 2130706433 017700000001
"""
PUBLIC = (
    "1.1.1.1 8.8.8.8 93.184.215.14 172.32.0.1 2606:4700:4700::1111 2a00:1450:4001::1 ::ffff:8.8.8.8 64:ff9b::808:808"
)


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_an_address_that_is_not_out_on_the_internet_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_a_public_address_is_taken(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.com/", "begins with https://"),
        ("ftp://example.com/", "begins with https://"),
        ("//example.com/", "begins with https://"),
        ("https://", "names a host"),
        ("https:///path", "names a host"),
        ("https://user:pass@example.com/", "no user and password"),
        ("https://example.com@10.0.0.1/", "no user and password"),
        ("https://example.com/#part", "no fragment"),
        ("https://example.com:0/", "no port 0"),
        ("https://example.com:99999/", "no URL"),
        ("https://[::1", "no URL"),
        ("https://exa mple.com/", "plain"),
        ("https://example.com\\@10.0.0.1/", "plain"),
        ("https://example.com/\r\nX-Evil: 1", "plain"),
        ("https://exämple.com/", "plain"),
        ("https://example.com/" + "a" * 2048, "at most 2048"),
        ("", "at most 2048"),
        ("https://localhost/", "not a public address"),
        ("https://gateway/", "not a public address"),
        ("https://db.internal/", "not a public address"),
        ("https://127.0.0.1/", "not a public address"),
        ("https://127.1/", "not a public address"),
        ("https://2130706433/", "not a public address"),
        ("https://0x7f000001/", "not a public address"),
        ("https://10.0.0.0x1/", "not a public address"),
        ("https://169.254.169.254/latest/meta-data", "not a public address"),
        ("https://[::ffff:127.0.0.1]/", "not a public address"),
        ("https://[fd00:ec2::254]/", "not a public address"),
        ("https://-bad-.com/", "names a host"),
        ("https://a..b/", "names a host"),
        ("https://%31%32%37.0.0.1/", "names a host"),
    ],
)
def test_an_address_that_webhooks_cannot_go_to_is_refused_with_a_reason(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_url(url, allow_private=False)


@pytest.mark.parametrize(
    "url", ["https://example.com/hooks?a=1", "https://Example.com:8443", "https://1.1.1.1/", "https://[2606:4700::1]/x"]
)
def test_a_public_https_address_is_taken_as_it_is(url: str) -> None:
    assert checked_url(url, allow_private=False) == url


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/", "https://gateway/", "http://[::1]/", "http://localhost/x"])
def test_a_private_address_is_taken_where_that_is_allowed(url: str) -> None:
    assert checked_url(url, allow_private=True) == url

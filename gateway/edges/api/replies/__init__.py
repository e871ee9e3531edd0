"""The shapes of the API's answers, as types: the code that answers is checked against them, the OpenAPI document and
its tests are made from them.

Owns: which members an answer has, and what they mean. Does not own: what is in them.
"""

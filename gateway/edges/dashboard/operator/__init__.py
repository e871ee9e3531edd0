"""The operator's pages, `/admin` on the admin listener: how everything stands, all accounts, what is changed of them.

Asks the same flows as the admin API and calls no API. What an account's owner sees is drawn by the owner's own pages.
"""

"""Accounts of a service that customers pay for: who may ask, what they may use, what they owe.

Customers hold keys and subscribe to plans; each answered request is an entry of a ledger that only grows; an invoice is a pure
function of the ledger. SQLite by default, PostgreSQL for several replicas. Nothing here knows about HTTP or models.

    database → schema, times          customers → keys, plans          writers → chain → ledger → till
    ledger + plans → charging → invoices                               verifying reads everything
"""

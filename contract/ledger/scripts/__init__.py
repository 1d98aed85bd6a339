"""One Lua script per transition of the ledger."""

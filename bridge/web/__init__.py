"""The page: an HTTP server in the daemon's event loop, and a WebSocket through which browsers speak MQTT.

It trusts nothing that comes from a browser, and nothing of it can hold the daemon up. `docs/dashboard.md` is its
contract.
"""

"""Electrical feedthroughs."""

from .modbus_relay import ModbusRelay, ModbusRelayOptions

__all__ = ["ModbusRelay", "ModbusRelayOptions"]

"""Devices as data, and models of the time that one kernel takes on them."""

"""The network: its configuration, its construction, its data flow."""

"""Starts the servers and processes of the portal for one person on one machine.

It runs outside Django, because it sets the environment that the settings read. Production does not use it.
"""

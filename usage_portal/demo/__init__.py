"""The demo: a made-up ingress platform whose usage goes through the real pipeline.

Pure and seeded: the same seed and `now` give the same bytes. It knows no tables and reads no clock.
"""

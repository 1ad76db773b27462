"""The pages of this app: where a person starts, an account's settings, and the staff's directory."""

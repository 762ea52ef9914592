"""What a user can choose: frozen dataclasses with a default for every field."""

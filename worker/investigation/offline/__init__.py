"""The model that needs no provider: a deterministic analyst behind the model port."""

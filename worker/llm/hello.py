"""The shortest question, to see whether an account and a model answer at all."""

from worker.domain.conversation import ModelRequest, UserMessage

HELLO = ModelRequest(messages=(UserMessage(text="Say ok."),), max_output_tokens=16)
"""16 tokens are the least that every provider takes."""

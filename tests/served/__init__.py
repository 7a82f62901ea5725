"""The wires from the provider's side: how each reads a request and says an answer. A new wire is a new row."""

from tests.served import (
    anthropic_messages,
    bedrock_converse,
    gemini_generate,
    ollama_chat,
    openai_chat,
    openai_responses,
)
from tests.served.exchange import Voice

VOICES: tuple[Voice, ...] = (
    openai_chat.VOICE,
    anthropic_messages.VOICE,
    openai_responses.VOICE,
    gemini_generate.VOICE,
    ollama_chat.VOICE,
    bedrock_converse.VOICE,
)
OPENAI, ANTHROPIC = openai_chat.VOICE.name, anthropic_messages.VOICE.name

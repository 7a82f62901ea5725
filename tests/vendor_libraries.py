"""The vendors' own libraries, each asked for the same conversation: what they send and read is what we must."""

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import anthropic
import boto3
import ollama
import openai
from botocore.config import Config
from google import genai
from google.genai import types

from tests.llm_builders import KEY, QUERY

SYSTEM, USER, SAYS = "You explain incidents.", "The checkout is slow.", "Let me look."
CALLS = (("call_a", "query_metrics", {"name": "latency"}), ("call_b", "search_logs", {"q": "timeout — 超时"}))
FIRST, SECOND = "p99 3.2 s", "no such index"


@dataclass(frozen=True)
class Oracle:
    """A library: how it is asked, with what, and what it reads. `spelled` says in our spelling what it sends."""

    ask: Callable[[str, Mapping[str, Any]], Any]
    arguments: Mapping[str, Any]
    read: Callable[[Any], dict[str, Any]]
    spelled: Callable[[dict[str, Any]], dict[str, Any]] = lambda body: body
    other_headers: frozenset[str] = frozenset()


def _ask_openai(root: str, arguments: Mapping[str, Any]) -> Any:
    with openai.OpenAI(api_key=KEY, base_url=f"{root}/v1", max_retries=0) as client:
        return client.chat.completions.create(**arguments)


def _ask_responses(root: str, arguments: Mapping[str, Any]) -> Any:
    with openai.OpenAI(api_key=KEY, base_url=f"{root}/v1", max_retries=0) as client:
        return client.responses.create(**arguments)


def _ask_anthropic(root: str, arguments: Mapping[str, Any]) -> Any:
    with anthropic.Anthropic(api_key=KEY, base_url=root, max_retries=0) as client:
        return client.messages.create(**arguments)


def _ask_gemini(root: str, arguments: Mapping[str, Any]) -> Any:
    client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=root))
    try:
        return client.models.generate_content(**arguments)
    finally:
        client.close()


def _ask_ollama(root: str, arguments: Mapping[str, Any]) -> Any:
    with ollama.Client(host=root) as client:
        return client.chat(**arguments)


def _ask_bedrock(root: str, arguments: Mapping[str, Any]) -> Any:
    keys = {"aws_access_key_id": "AKIAZQ7WM4V9LKTT", "aws_secret_access_key": KEY}
    once = Config(retries={"total_max_attempts": 1}, signature_version="v4")
    session = boto3.Session(region_name="us-east-1", **keys)
    with closing(session.client("bedrock-runtime", endpoint_url=root, config=once)) as client:
        return client.converse(**arguments)


def _read_openai(answer: Any) -> dict[str, Any]:
    choice = answer.choices[0]
    calls = choice.message.tool_calls or []
    return {
        "text": choice.message.content or "",
        "calls": [(c.function.name, json.loads(c.function.arguments)) for c in calls],
        "is_calling": choice.finish_reason == "tool_calls",
        "usage": (answer.usage.prompt_tokens, answer.usage.completion_tokens),
        "model": answer.model,
    }


def _read_responses(answer: Any) -> dict[str, Any]:
    calls = [item for item in answer.output if item.type == "function_call"]
    return {
        "text": answer.output_text,
        "calls": [(c.name, json.loads(c.arguments)) for c in calls],
        "is_calling": bool(calls),
        "usage": (answer.usage.input_tokens, answer.usage.output_tokens),
        "model": answer.model,
    }


def _read_anthropic(answer: Any) -> dict[str, Any]:
    return {
        "text": "".join(b.text for b in answer.content if b.type == "text"),
        "calls": [(b.name, b.input) for b in answer.content if b.type == "tool_use"],
        "is_calling": answer.stop_reason == "tool_use",
        "usage": (answer.usage.input_tokens, answer.usage.output_tokens),
        "model": answer.model,
    }


def _read_gemini(answer: Any) -> dict[str, Any]:
    calls = answer.function_calls or []
    parts = answer.candidates[0].content.parts or []
    return {
        "text": "".join(part.text or "" for part in parts),
        "calls": [(c.name, c.args) for c in calls],
        "is_calling": bool(calls),
        "usage": (answer.usage_metadata.prompt_token_count, answer.usage_metadata.candidates_token_count),
        "model": answer.model_version,
    }


def _read_ollama(answer: Any) -> dict[str, Any]:
    calls = answer.message.tool_calls or []
    return {
        "text": answer.message.content,
        "calls": [(c.function.name, dict(c.function.arguments)) for c in calls],
        "is_calling": bool(calls),
        "usage": (answer.prompt_eval_count, answer.eval_count),
        "model": answer.model,
    }


def _read_bedrock(answer: Any) -> dict[str, Any]:
    content = answer["output"]["message"]["content"]
    uses = [block["toolUse"] for block in content if "toolUse" in block]
    return {
        "text": "".join(block.get("text", "") for block in content),
        "calls": [(use["name"], use["input"]) for use in uses],
        "is_calling": answer["stopReason"] == "tool_use",
        "usage": (answer["usage"]["inputTokens"], answer["usage"]["outputTokens"]),
        "model": "",  # it does not say
    }


def _in_json(body: dict[str, Any]) -> dict[str, Any]:
    """Spell as JSON has it what the library spells as protobuf; the API takes both."""
    text = json.dumps(body).replace('"parameters_json_schema"', '"parametersJsonSchema"')
    found: dict[str, Any] = json.loads(text)
    return found


_CHAT: dict[str, Any] = {
    "model": "gpt-4.1-mini",
    "messages": [
        {"role": "system", "content": "You explain incidents."},
        {"role": "user", "content": "The checkout is slow."},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {
                    "id": "call_a",
                    "type": "function",
                    "function": {"name": "query_metrics", "arguments": '{"name": "latency"}'},
                },
                {
                    "id": "call_b",
                    "type": "function",
                    "function": {"name": "search_logs", "arguments": '{"q": "timeout — 超时"}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "p99 3.2 s"},
        {"role": "tool", "tool_call_id": "call_b", "content": "Error: no such index"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "query_metrics",
                "description": "Query a metric.",
                "parameters": QUERY.parameters,
            },
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "query_metrics"}},
    "max_tokens": 500,
    "temperature": 0.2,
}

_MESSAGES: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 500,
    "system": [{"type": "text", "text": "You explain incidents.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "The checkout is slow.", "cache_control": {"type": "ephemeral"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "call_a", "name": "query_metrics", "input": {"name": "latency"}},
                {"type": "tool_use", "id": "call_b", "name": "search_logs", "input": {"q": "timeout — 超时"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_a", "content": "p99 3.2 s"},
                {
                    "type": "tool_result",
                    "tool_use_id": "call_b",
                    "content": "no such index",
                    "is_error": True,
                    "cache_control": {"type": "ephemeral"},
                },
            ],
        },
    ],
    "tools": [
        {
            "name": "query_metrics",
            "description": "Query a metric.",
            "input_schema": QUERY.parameters,
            "cache_control": {"type": "ephemeral"},
        }
    ],
    "tool_choice": {"type": "tool", "name": "query_metrics"},
    "extra_body": {"temperature": 0.2},
}

_RESPONSES: dict[str, Any] = {
    "model": "gpt-5-mini",
    "input": [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": USER},
        {"role": "assistant", "content": SAYS},
        *(
            {"type": "function_call", "call_id": i, "name": n, "arguments": json.dumps(a, ensure_ascii=False)}
            for i, n, a in CALLS
        ),
        {"type": "function_call_output", "call_id": "call_a", "output": FIRST},
        {"type": "function_call_output", "call_id": "call_b", "output": f"Error: {SECOND}"},
    ],
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "tools": [
        {
            "type": "function",
            "name": "query_metrics",
            "description": "Query a metric.",
            "parameters": QUERY.parameters,
            "strict": False,
        }
    ],
    "tool_choice": {"type": "function", "name": "query_metrics"},
    "max_output_tokens": 500,
}

_GENERATE: dict[str, Any] = {
    "model": "gemini-2.5-flash",
    "contents": [
        types.Content(role="user", parts=[types.Part(text=USER)]),
        types.Content(
            role="model",
            parts=[
                types.Part(text=SAYS),
                *(types.Part(function_call=types.FunctionCall(id=i, name=n, args=a)) for i, n, a in CALLS),
            ],
        ),
        types.Content(
            role="user",
            parts=[
                types.Part(function_response=types.FunctionResponse(id=i, name=n, response=response))
                for (i, n, _), response in zip(CALLS, ({"output": FIRST}, {"error": SECOND}), strict=True)
            ],
        ),
    ],
    "config": types.GenerateContentConfig(
        system_instruction=types.Content(parts=[types.Part(text=SYSTEM)]),
        tools=[
            types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(
                        name="query_metrics", description="Query a metric.", parameters_json_schema=QUERY.parameters
                    )
                ]
            )
        ],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["query_metrics"]
            )
        ),
        max_output_tokens=500,
        temperature=0.2,
    ),
}

_OLLAMA: dict[str, Any] = {
    "model": "qwen3:8b",
    "messages": [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": USER},
        {
            "role": "assistant",
            "content": SAYS,
            "tool_calls": [{"function": {"name": n, "arguments": a}} for _, n, a in CALLS],
        },
        {"role": "tool", "content": FIRST, "tool_name": "query_metrics"},
        {"role": "tool", "content": f"Error: {SECOND}", "tool_name": "search_logs"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "query_metrics",
                "description": "Query a metric.",
                "parameters": QUERY.parameters,
            },
        }
    ],
    "options": {"num_predict": 500, "temperature": 0.2},
}

_POINT = {"cachePoint": {"type": "default"}}
_CONVERSE: dict[str, Any] = {
    "modelId": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "system": [{"text": SYSTEM}, _POINT],
    "messages": [
        {"role": "user", "content": [{"text": USER}, _POINT]},
        {
            "role": "assistant",
            "content": [
                {"text": SAYS},
                *({"toolUse": {"toolUseId": i, "name": n, "input": a}} for i, n, a in CALLS),
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "call_a", "content": [{"text": FIRST}]}},
                {"toolResult": {"toolUseId": "call_b", "content": [{"text": SECOND}], "status": "error"}},
                _POINT,
            ],
        },
    ],
    "toolConfig": {
        "tools": [
            {
                "toolSpec": {
                    "name": "query_metrics",
                    "description": "Query a metric.",
                    "inputSchema": {"json": QUERY.parameters},
                }
            },
            _POINT,
        ],
        "toolChoice": {"tool": {"name": "query_metrics"}},
    },
    "inferenceConfig": {"maxTokens": 500, "temperature": 0.2},
}

# Anthropic's library has gone on to API version 2026-10-21, which removed temperature, and sends the key as a bearer
# token; we send the version and the header that every compatible endpoint knows. Both are documented and served.
# Ollama's has no name for two fields of its server.
ORACLES: dict[str, Oracle] = {
    "openai_chat": Oracle(_ask_openai, _CHAT, _read_openai),
    "openai_responses": Oracle(_ask_responses, _RESPONSES, _read_responses),
    "anthropic_messages": Oracle(
        _ask_anthropic, _MESSAGES, _read_anthropic, other_headers=frozenset({"anthropic-version", "x-api-key"})
    ),
    "gemini_generate": Oracle(_ask_gemini, _GENERATE, _read_gemini, spelled=_in_json),
    "bedrock_converse": Oracle(_ask_bedrock, _CONVERSE, _read_bedrock),
    "ollama_chat": Oracle(
        _ask_ollama,
        _OLLAMA,
        _read_ollama,
        spelled=lambda body: body | {"truncate": False, "shift": False},
        other_headers=frozenset({"authorization"}),
    ),
}

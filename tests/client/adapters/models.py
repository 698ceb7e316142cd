"""A LangChain model that streams what a test tells it to: the library's own fakes yield no parts of calls."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult


class Scripted(BaseChatModel):
    """Streams `scripts`, one for each call. With `endless`, says nothing more and does not end; `left` is set then."""

    scripts: list[list[AIMessageChunk]]
    endless: bool = False
    left: Any = None

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(ChatGenerationChunk(message=chunk) for chunk in self.scripts.pop(0))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            for chunk in self.scripts.pop(0):
                made = ChatGenerationChunk(message=chunk.model_copy())
                if run_manager:
                    await run_manager.on_llm_new_token(str(chunk.content), chunk=made)
                yield made
                await asyncio.sleep(0)
            if self.endless:
                await asyncio.Event().wait()
        finally:
            if self.left is not None:
                self.left.set()


def said(text: str, *, id: str = "m1") -> list[AIMessageChunk]:
    """A message, word by word."""
    words = [word + " " for word in text.split()]
    return [AIMessageChunk(content=word, id=id) for word in words]


def called(name: str, *arguments: str, call: str = "t1", id: str = "m1") -> list[AIMessageChunk]:
    """A call in parts: id and name are in the first alone."""
    heads: list[tuple[str | None, str | None]] = [(call, name), *[(None, None)] * (len(arguments) - 1)]
    return [
        AIMessageChunk(
            content="",
            id=id,
            tool_call_chunks=[{"type": "tool_call_chunk", "id": c, "name": n, "args": text, "index": 0}],
        )
        for (c, n), text in zip(heads, arguments, strict=True)
    ]

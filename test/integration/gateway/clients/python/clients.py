"""Calls a daemon with the Python clients that people use: BASE_URL MODEL. Prints {"client call": "ok" or the error} as JSON."""
import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["OPENAI_API_KEY"] = os.environ["ANTHROPIC_API_KEY"] = "none"

import litellm
from langchain_anthropic import ChatAnthropic
from langchain_ollama import ChatOllama, OllamaEmbeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.ollama import OllamaEmbedding
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai_like import OpenAILike

base, model = sys.argv[1:]
v1 = base + "/v1"
question = "Say hello"
texts = ["one", "two"]
results = {}


def check(name, call):
    try:
        results[name] = "ok" if call() else "nothing came"
    except Exception as error:
        results[name] = f"{type(error).__name__}: {error}"[:500]


def langchain(name, chat, embeddings=None):
    check(f"langchain-{name} chat", lambda: chat.invoke(question).content)
    check(f"langchain-{name} stream", lambda: "".join(str(piece.content) for piece in chat.stream(question)))
    if embeddings is not None:
        check(f"langchain-{name} embeddings", lambda: len(embeddings.embed_documents(texts)) == 2)


langchain(
    "openai",
    ChatOpenAI(base_url=v1, model=model),
    OpenAIEmbeddings(base_url=v1, model=model, check_embedding_ctx_length=False),
)
langchain("openai-responses", ChatOpenAI(base_url=v1, model=model, use_responses_api=True))
langchain("ollama", ChatOllama(base_url=base, model=model), OllamaEmbeddings(base_url=base, model=model))
langchain("anthropic", ChatAnthropic(base_url=base, model=model))

for provider, address in [("openai", v1), ("anthropic", base), ("ollama_chat", base), ("ollama", base)]:
    asked = {
        "model": f"{provider}/{model}",
        "api_base": address,
        "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": question}],
    }
    check(f"litellm {provider} chat", lambda: litellm.completion(**asked).choices[0].message.content)
    check(
        f"litellm {provider} stream",
        lambda: "".join(piece.choices[0].delta.content or "" for piece in litellm.completion(**asked, stream=True)),
    )
for provider, address in [("openai", v1), ("ollama", base)]:
    check(
        f"litellm {provider} embeddings",
        lambda: len(litellm.embedding(model=f"{provider}/{model}", api_base=address, input=texts).data) == 2,
    )

for name, chat, embedding in [
    (
        "openai-like",
        OpenAILike(model=model, api_base=v1, api_key="none", is_chat_model=True),
        OpenAILikeEmbedding(model_name=model, api_base=v1, api_key="none"),
    ),
    (
        "ollama",
        Ollama(model=model, base_url=base, request_timeout=120),
        OllamaEmbedding(model_name=model, base_url=base),
    ),
]:
    said = [ChatMessage(role="user", content=question)]
    check(f"llama-index {name} chat", lambda: chat.chat(said).message.content)
    check(f"llama-index {name} stream", lambda: "".join(piece.delta or "" for piece in chat.stream_chat(said)))
    check(f"llama-index {name} complete", lambda: chat.complete(question).text)
    check(f"llama-index {name} embeddings", lambda: len(embedding.get_text_embedding_batch(texts)) == 2)

print(json.dumps(results))

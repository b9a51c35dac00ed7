"""An OpenAI-compatible provider whose behaviour is set by the model's name.

A name is segments joined by dots, made of letters, digits, `-` and `_` only, so that it survives
LiteLLM's `openai/<name>` routing and any check on model names. The first segment is the base name
(`mock-chat`, `mock-embed`, but any name works: `gpt-4o-mini` behaves by default and has a price).
Times are milliseconds. A token is a whitespace-separated word, in prompts and answers alike.

Any endpoint:
    status-CODE      answer with that HTTP status; it quotes the key and the prompt, as real ones have done
    retry-SECONDS    with a Retry-After header (status-429.retry-7)
    flaky-N          429 for the first N calls of this model name, then as usual
    refuse-N         429 for N of a hundred calls, spread as if by chance, the same ones in every run
    hang             never send the response's headers
    badjson          a 200 whose body isn't JSON

Chat, timing:
    first-MS         delay before the first token
    gap-MS           delay before each further token
    tokens-N         exactly N tokens: the answer, cut or filled up; the citation stays last
    burst-N          N tokens per network write instead of one

Chat, failures in mid-stream, each after N tokens:
    gate-N           wait for POST /release, so that a test decides when the rest exists
    hang-N           wait for ever
    drop-N           reset the connection
    error-N          send an error object as an event, as OpenAI does, and end
    cut-N            end the stream properly, but with no finish reason
    garble-N         send an event that isn't JSON

Chat, content (default: the sentence of the prompt's passages that matches the question best, followed by its
`[n]`; passages are blocks that start with `[n]` in any message):
    cite-1-2         a sentence of each named passage with its number
    say-a_fixed_text the text, with underscores for spaces
    echo             the last user message
    nousage          leave usage out
    finish-REASON    the finish reason (`length`, `content_filter`)

Embeddings:
    first-MS         delay before the vectors
    dim-N            vectors of N numbers (default 256; the request's `dimensions` wins)
    short            one vector too few
    ragged           the last vector one number short
    nan              a vector that holds NaN
    nobase64         400 for a request that wants base64
"""

from tests.mock_provider.server import MockProvider, RunningProvider, start

__all__ = ["MockProvider", "RunningProvider", "start"]

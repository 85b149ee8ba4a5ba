"""Texts to vectors, behind one Protocol: `Embedder`.

embedder.py     what it takes to be one
box.py          the model that ships with mimo: no network, loaded at first use
windows.py      texts longer than the model's window
ollama.py       models that Ollama serves
openai.py       models behind any OpenAI-compatible service
remote.py       what these two share: batches, deadline, retry, breaker, and a look at what came back
post.py         one JSON request over HTTP
questions.py    how long who asks one waits, and what becomes of late answers
cache.py        what was computed from a text a moment ago
degradation.py  a stand-in for a vector when no model can be had; never stored
model/          the weights of the model in the box, with where they come from
"""

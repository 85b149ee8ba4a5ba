"""One question, all stores: what is remembered, what is known, what can be run.

- `stores`: each store, asked through its own tool
- `asking`: all of them side by side until the deadline; what they found, in one order, and what was cut or failed
- `threads`: what was asked before, so that a question may say "and she?"
- `texts`: what was found, as people and language models read it
- `upstream`: the language model behind an OpenAI-compatible service, where one is configured
- `chatting`: a conversation, answered from memory or passed on with what bears on it
"""

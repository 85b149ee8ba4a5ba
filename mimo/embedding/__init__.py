"""Texts to vectors, behind one Protocol: `Embedder`.

embedder.py     what it takes to be one
box.py          the model that ships with mimo: no network, loaded at first use
windows.py      texts longer than the model's window
model/          its weights, with where they come from
"""

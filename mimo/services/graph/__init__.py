"""The knowledge graph: facts with a source, rules that conclude, and answers that can be proven.

doorstep.py     the tool `knowledge` and the child, before anything else is imported; service.py the operations
teaching.py     facts, rules and names written and retracted; extraction.py reads facts from text by its
                forms, reading.py has a language model read it too where one is configured
asking.py       patterns, walks, paths, needing.py what would break; proofs.py says why
answering.py    questions in plain words, from facts or else from memories
resolution.py   from a mention to the thing that is meant
inferring.py    the child that writes down what follows, and retires what has expired
observing.py    facts that bear on what is talked about
graphs.py       the graphs in memory, exact by the change log
facts.py views.py walking.py patterns.py rules.py inference.py vocabulary.py   pure: facts in memory, and what follows
"""

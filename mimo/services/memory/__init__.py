"""The memory: what is said once is found again, in other words, with where it came from.

    service.py      the tools, declared; wiring.py says how the parts hang together
    arguments.py    what the tools take, as agents read it
    adding.py       remembering; drafts.py checks and completes what is said, secrets.py takes keys out of it
    finding.py      from a question to an answer; texts.py and full_texts.py are what agents read
    search.py       finding itself: arms, what stands around, ranking.py, relevance.py, times.py, words.py
    meaning.py      the vectors in memory, which follow the database; embedding.py makes them
    use.py          which memories are used; decay.py says which fade
    spaces.py       which namespaces a call is about
    news.py         what befalls memories, as events
"""

"""The memory: what is said once is found again, in other words, with where it came from.

service.py      the tools, declared; wiring.py says how the parts hang together
arguments.py    what the tools take, as agents read it
adding.py       remembering; drafts.py checks and completes what is said, secrets.py takes keys out of it
finding.py      from a question to an answer; texts.py and full_texts.py are what agents read,
                time_filters.py says what a filter's time means
search.py       finding itself: arms, what stands around, ranking.py, relevance.py, times.py, words.py
meaning.py      the vectors in memory, which follow the database; embedding.py makes them,
                blame.py finds the text that cannot be embedded, progress.py says how far it is,
                former.py asks the model before
editing.py      corrected, forgotten, restored, purged, taken back
context.py      what a session should know at its start; offers.py has the resources and prompts
consolidation.py  working memory judged, every minute; merging.py finds near duplicates
fading.py       what is not used leaves; decay.py says when, use.py what is used
transfer.py     all of it as JSON lines, out and in; carried_lines.py reads and writes a line,
                blotting.py takes the secrets out of what comes in
controls.py     what our own programs may ask beside the tools
census.py        how many there are, for the dashboard
spaces.py       which namespaces a call is about
moments.py names.py  times and ids as callers write them
news.py         what befalls memories, as events
"""

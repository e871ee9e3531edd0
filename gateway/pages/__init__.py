"""Pages of documents, counted in a process apart.

Owns: the child process, its limits in memory and time, and what it is told and answers.
Does not own: when a document is counted and what that does to a price (wire, edges), and anything else a PDF holds.
"""

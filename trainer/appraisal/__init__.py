"""What a model can do: measured on a task by itself, or beside another model on the same problems.

`subject` says which model, `settings` on what and how long it may answer, `sampling` lets it answer, `measures` and
`comparison` turn verified groups into numbers, `results` writes them. Nothing here can change a number of a trial.

May import: words, `config`, `policy`, `tasks`, `record`, `generators`.
"""

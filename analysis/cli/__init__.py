"""The commands on results.

The packages that a command needs are imported when it runs, so that help comes at once.

May import: words, `runs`, `measures`, `claims`, `figures`, `tables`, `report`.
"""

"""From published data sets to problems with reference answers.

`minrl data prepare` calls it.

May import: words, `config`, `answers`, `policy`, `tasks`.
"""

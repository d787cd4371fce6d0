"""The commands of one trial, and how they show it: nothing here can change a number.

The packages that a command needs are imported when it runs, so that help comes at once.

May import: words, `config`, `forecast`, `prepare`, `record`, `pretrained`, `tracking`, `appraisal`, `bases`, life.
"""

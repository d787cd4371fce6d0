"""A step beside that of TRL's GRPOTrainer: the same model files, prompts, rewards and updates, in turns.

`work` says what is done, `ours` and `theirs` do it in processes of their own, `turns` has them wait for one another,
`environment` makes TRL's, `check` shows that one update is the same on both sides. `theirs` and what it imports run
without the packages of this project that TRL's environment lacks.
"""

#!/usr/bin/env bash
# reasoning-gym 0.1.25: generated problems, their stored answers and their scores.
# Guess: the same seed gives the same items; an item's stored answer scores 1, and a text that is no answer does not.
# Seen:  1. game_of_life_halting gives 1.0 to any text ("perhaps"), puzzle24 to the answer of another puzzle;
#        2. the stored answers of graph_color, rush_hour and propositional_logic are empty and score below 1;
#        3. list_functions makes other items for the same seed in the next process.
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "reasoning-gym==0.1.25"
cat > "$folder/seen.py" <<'PY'
import sys
from importlib.metadata import version

import reasoning_gym

SIZE = 8
if sys.argv[1] == "items":
    data_set = reasoning_gym.create_dataset("list_functions", size=SIZE, seed=0)
    print([data_set[index]["question"] for index in range(SIZE)])
    raise SystemExit

print("reasoning-gym", version("reasoning-gym"))
halting = reasoning_gym.create_dataset("game_of_life_halting", size=SIZE, seed=0)
scores = [halting.score_answer("perhaps", halting[index]) for index in range(SIZE)]
print("game_of_life_halting, 'perhaps':", scores)
assert scores == [1.0] * SIZE, "this has changed"

puzzles = reasoning_gym.create_dataset("puzzle24", size=SIZE, seed=0)
others = [puzzles.score_answer(puzzles[index - 1]["answer"], puzzles[index]) for index in range(SIZE)]
print("puzzle24, the answer before:", others)
assert others.count(1.0) > SIZE // 2, "this has changed"

for name in ("graph_color", "rush_hour", "propositional_logic"):
    data_set = reasoning_gym.create_dataset(name, size=SIZE, seed=0)
    stored = [data_set[index]["answer"] for index in range(SIZE)]
    scores = [data_set.score_answer(answer, data_set[index]) for index, answer in enumerate(stored)]
    print(name, "stores", set(stored), "and scores it", set(scores))
    assert not any(stored) and max(scores) < 1, "this has changed"
PY
"$folder/venv/bin/python" "$folder/seen.py" scores
one=$("$folder/venv/bin/python" "$folder/seen.py" items)
other=$("$folder/venv/bin/python" "$folder/seen.py" items)
[ "$one" != "$other" ] || { echo "this has changed: the items are equal"; exit 1; }
echo "list_functions: other items in the next process"

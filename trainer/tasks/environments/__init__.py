"""Tasks that come from other packages: their problems, and their own scores of answers, kept at a distance.

What such a package does with a response is its own affair, so scoring runs in processes with limits; making problems
does, too, for hashes of texts, and so the order of sets, are fixed there.
"""

# Of processes that make problems or score them: the order of a set of texts is otherwise each process's own, and sums
# of many threads each machine's.
SAME_EVERYWHERE = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

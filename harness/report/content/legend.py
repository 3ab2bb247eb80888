"""What the columns of each table mean, in the order of the columns."""

from __future__ import annotations

from harness.analysis.cost import EQUAL_WITHIN, TWIN_WITHIN
from harness.core.verdict import MIN_IDENTICAL
from harness.report.format import percent

VERDICTS = {
    "cell": "one scenario under one determinism setting on one device",
    "the same bits": "the digests of loss, gradients, parameters, buffers and optimizer state "
    "agree at every step, and so do the final predictions",
    "no difference seen": f"the same, but in fewer than {MIN_IDENTICAL} independent runs",
    "probability": "one-sided 95 % upper bound (Clopper–Pearson)",
    "slower, faster": "by time per step relative to the baseline, with 95 % interval, of settings "
    "under which no difference was seen",
    "no difference in cost shown": "there may be one, but the intervals do not show it",
}
POSITIVE = (
    "The positive control is a training that must vary under `seed` and be identical under `full`. "
    "If it fails, do not trust any verdict."
)
TWINS = {
    "A/A twin of": "the baseline, which is timed twice under two names, so the true ratio is 1; if "
    "a check fails, do not trust any cost",
    "blocks": "blocks in which both were timed",
    "ratio": "time per step of the twin relative to the baseline, geometric mean over blocks",
    "95 % interval": "of this ratio (Student's t over blocks)",
    "simultaneous interval": "wider, so that the intervals of all twins contain 1 together with "
    "95 % confidence (Bonferroni); it decides the check",
    "smallest detectable": "the cost of a setting of this training that is shown with 80 % power",
    "check": f"`passed`: the simultaneous interval contains 1 and lies within "
    f"±{percent(TWIN_WITHIN)}; `failed`: it excludes 1; `inconclusive`: it contains 1 and is wider",
}
CLAIMS = {
    "claim": "name of the claim in `conf/claims/`",
    "from": "the write-up; `ours`: a variant or an answer of this project, which counts apart",
    "statement": "what the write-up says; rows of our own say so",
    "answer": "whether this holds on this machine",
    "reason": "the evidence or rule that decides",
    "measured": "figure from this study",
    "tried here on": "scenarios; device; framework; most processes of a cell",
    "published": "figure from the write-up",
    "published for": "network, device, framework and runs that the write-up speaks of, if it says",
}
AUDIT = {
    "operation": "the operation, run alone, forward and backward",
    "verdict, seeded": "verdict with fixed seeds only",
    "verdict, deterministic": "verdict with fixed seeds and deterministic algorithms",
    "device": "where it ran",
    "dtype": "type of its floating-point inputs",
    "documented": "what the documentation of `torch.use_deterministic_algorithms` says that the "
    "operation does on this kind of device if they are enabled",
    "alert": "`refuses`: PyTorch raises an error under deterministic algorithms",
    "one thread": "whether one thread gives the same bits as all threads, under deterministic "
    "algorithms",
    "disagreement": "where documentation, alert and verdicts contradict each other",
}
FIRST_CALLS = {
    "operation": "called twice on the same input, as the first operation of a process, with awake "
    "threads; only operations whose two calls differ in some process have a row",
    "determinism": "the determinism setting",
    "threads": "torch's threads in each process",
    "differ": "forked processes in which the two calls return other bits, of all",
    "rate, 95 % interval": "of this share (Clopper–Pearson)",
    "elements": "largest share of elements that differ in one process",
    "ulp": "largest difference, in units in the last place",
}
LENGTHS = (
    "Verdict of each operation, by the number of elements that it adds into few places. The same "
    "table is in `tables/audit_lengths.csv`."
)
NOISE = {
    "scenario": "the training job, with its overrides",
    "what varies": "what may differ between runs; everything else is fixed",
    "differ": "processes whose result is not the most frequent one, of all; `all n`: no two agree",
    "steps": "steps of a training",
    "final loss": "mean over runs (sd: standard deviation, relative to the mean)",
    "accuracy": "mean on held-out data",
    "accuracy sd": "standard deviation of held-out accuracy, in percentage points",
    "accuracy sd, 95 % interval": "95 % interval of that standard deviation (chi-squared); none "
    "for a standard deviation of 0",
    "churn": "share of predicted classes that differ between two runs, mean over all pairs",
    "weight distance": "largest ‖w−w₁‖/‖w₁‖ between the final weights w of a run and w₁ of the "
    "first run",
}
RESULTS = {
    "scenario": "the training job, with its overrides",
    "determinism": "the determinism setting; `a = b, c`: on this machine b and c have the same "
    "effect as a, so they share its runs",
    "runs": "processes × trainings in each (repeats), or processes and all their trainings",
    "verdict": "`identical`: all runs and repeats gave the same bits; `no difference seen`: so did "
    f"all of fewer than {MIN_IDENTICAL} runs; `varies per call`: repeats in one process "
    "differ; `varies per process`: repeats agree, processes differ; `varies`: processes differ, "
    "but none of those that trained more than once; `rarely varies`: under 10 % of the processes "
    "differ; "
    "`refused`: an operation has no deterministic "
    "implementation; `failed`: a run crashed, timed out or was killed; `not tested`: fewer than "
    "two runs completed",
    "differ": "processes whose result is not the most frequent one, of all; `all n`: no two agree",
    "first divergence": "the earliest step and component at which any training differs from the "
    "first; `rng` points to a seed, `batch` to the data, `grads` to a kernel",
    "steps": "steps of a training",
    "final loss": "mean over trainings (spread: (max − min) / |mean|)",
    "accuracy": "mean on held-out data (sd: standard deviation, in percentage points)",
    "churn": "share of predicted classes that differ between two trainings, mean over all pairs",
    "weight distance": "largest ‖w−w₁‖/‖w₁‖ between the final weights w of a training and w₁ of "
    "the first; exactly 0 means the same bits",
    "peak memory": "largest memory of a timing run up to its last step: allocated device memory on "
    "CUDA, on a CPU that of the process if it times no other cell",
    "step time": "mean time of a counted step, geometric mean over timing runs (counted steps and "
    "seconds of a run)",
    "cost": "time per step relative to the baseline in the same block, geometric mean over blocks, "
    "with its 95 % interval; shown only where no difference was seen; `1 (baseline)` marks the "
    "baseline",
    "vs baseline": "`slower` or `faster`: the interval that holds for all costs of the study "
    "together excludes 1, and the ratio lies outside the interval of the A/A twin; "
    f"`within ±{percent(EQUAL_WITHIN)}`: the whole interval lies there; "
    "`cannot tell (± x %)`: neither; x is half the width of that interval",
}
SPREADS = (
    "Loss, accuracy and churn compare the first training of every run, or all trainings "
    "if repeats differ. A dash means not measured or not applicable. All columns are in "
    "`tables/cells.csv`, all runs in `tables/runs.csv`."
)
OPERATIONS = {
    "": "marks the origin, the first operation at which two runs differ",
    "phase": "part of the training step",
    "module": "path in the model; of the forward call for a backward operation",
    "operation": "name as PyTorch dispatches it",
    "inputs": "whether its inputs are equal in both runs",
    "results": "whether its results are equal in both runs",
    "source": "line of the training code that called it",
}
RECIPE = {
    "switch": "a switch of the setting that the search began with; those needed come first",
    "needed": "whether the set that was found has it",
    "without it": "what happens if it alone is left out of that set; of a switch that is not "
    "needed, that the set does without it",
    "added to seeds": "time per step with the seeds and this switch, relative to the seeds alone, "
    "with its 95 % interval; – for what costs no time, as a seed",
    "within all": "time per step with all switches, relative to that with all but this one",
}
DEPENDENCE = {
    "factor": "what was varied; those that matter come first",
    "result": "whether the bits depend on it; undecided: too few runs differ to rule out "
    "chance; inconclusive: no two runs agree without it, or a run did not finish; not varied: it "
    "could not be, or changes nothing here",
    "evidence": "runs with this factor compared with those without any; a rate is the 95 % bound "
    "on the share of processes that differ with what is named; another value may matter",
    "first at": "the first step and component that differ",
}
TRIALS = {
    "treatment": "settings changed for this trial",
    "runs": "completed runs",
    "result": "`fixed`: all runs agree, which by chance would happen less than 1 % of the time",
    "suspected fault": "the kind of fault that a fix shows",
}

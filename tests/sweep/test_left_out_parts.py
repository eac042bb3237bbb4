"""What a sweep that leaves out one part after the other makes of `by` and `without`: the overrides of its jobs."""

import csv
from pathlib import Path

import pytest
from conftest import TINY
from typed_commands import run_typed

from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.session import hydra_started
from embexp.errors import ConfigError, DataError
from embexp.sweep.parts import Variant, expanded, variants_of

EXAMPLES = Path(__file__).parents[2] / "examples"
SETTINGS = {"by": None, "without": None, "alone": True, "budget": "steps", "largest": None}
SMALL = ("model=tiny", "trainer=smoke", "tracking=none", "paths.cache=null", f"test={EXAMPLES / 'graded.csv'}")


def rows(number: int, sources) -> list[dict[str, str]]:
    with open(EXAMPLES / "faq.csv", encoding="utf-8") as file:
        some = [row for row, _ in zip(csv.DictReader(file), range(number), strict=False)]
    return [row | {"source": sources[place % len(sources)]} for place, row in enumerate(some)]


def written(path: Path, content) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, content[0])
        writer.writeheader()
        writer.writerows(content)
    return path


def variants(*typed: str, jobs=(), **settings):
    """What `sweep.part` may be in the sweep that was typed."""
    job = quote_texts(expand_paths([*typed, *SMALL], mixes=True))
    with hydra_started():
        return variants_of(SETTINGS | settings, [job, *([*job, each] for each in jobs)], "config")


def test_rows_are_left_out_by_a_column_missing_values_are_a_part_and_small_parts_have_no_run_alone(tmp_path):
    path = written(tmp_path / "faq.csv", rows(80, ["web", "forum", "", "web, too"]) + rows(1, ["einsam"]))
    found = variants(f"dataset={path}", by="source")
    parts = ["(none)", "einsam", "forum", "web", "web, too"]
    alone = [f"only {part}" for part in parts if part != "einsam"]
    assert [*found] == ["all", *(f"without {part}" for part in parts), *alone]
    read = '++dataset.reader.columns.part_of="source"'
    assert found["all"] == Variant((), (read,))  # trainer=smoke has a number of steps
    step = "+step@dataset.steps.keep_parts=keep_parts"
    assert found["without web, too"].adds == (read, step, 'dataset.steps.keep_parts.without=["web, too"]')
    assert found["only (none)"].adds == (read, step, 'dataset.steps.keep_parts.only=["(none)"]')


@pytest.mark.slow
def test_of_a_mixture_each_set_is_left_out_and_taken_alone_by_its_weight(tmp_path):
    files = [
        written(tmp_path / f"{name}.csv", rows(number, ["x"])) for name, number in (("a", 40), ("b", 4), ("数据", 20))
    ]
    typed = (f"dataset=[{','.join(map(str, files))}]", "dataset.a.weight=2")
    found = variants(*typed)
    assert [*found] == ["all", "without a", "without b", "without 数据", "only a", "only 数据"]  # b fills no batch
    assert found["without a"] == Variant(("mixture.sets.a.weight",), ("++mixture.sets.a.weight=0",))
    assert found["without 数据"].adds == ("++mixture.sets.set_3.weight=0",)
    assert len(found["only a"].adds) == 2
    job = ["++mixture.sets.a.weight=2", "seed=1"]
    assert found["without a"].of(job) == ("seed=1", "++mixture.sets.a.weight=0")
    with pytest.raises(ConfigError, match="by=source is of one data set, and several are mixed"):
        variants(*typed, by="source")


def test_a_column_that_rows_have_anyway_is_taken_as_it_is():
    found = variants("dataset=finance", "loss=batch_hard_soft_margin", by="label", largest=2)
    assert len(found) == 4  # none alone: nothing is learned from one class
    assert [*found][-1] == "without (others)"
    assert found["without (others)"].adds[1] == 'dataset.steps.keep_parts.column="label"'
    assert "part_of" not in str(found)


@pytest.mark.slow
def test_made_rows_are_parts_by_what_made_them():
    found = variants(f"dataset={EXAMPLES / 'faq.csv'}", "step=[augment_typos,augment_swap]", by="made_by")
    assert {"all", "without (none)", "without typos", "without swap", "only typos"} <= {*found}


@pytest.mark.parametrize(
    ("typed", "by", "message"),
    [
        ("dataset=finance", "source", "by=source is no column of ranked rows whose data set has none of its own"),
        (f"dataset={EXAMPLES / 'faq.csv'}", "sources", "there is no column sources"),
        (f"dataset={EXAMPLES / 'tickets.csv'}", "category", "by=category is what makes the rows labelled_text"),
    ],
)
def test_a_column_that_is_not_there_or_means_something_else_is_refused(typed, by, message):
    with pytest.raises((ConfigError, DataError)) as refusal:
        variants(typed, by=by)
    assert message in str(refusal.value)


@pytest.mark.matrix
def test_one_value_has_no_parts_and_five_hundred_are_too_many(tmp_path):
    same = written(tmp_path / "same.csv", rows(40, ["web"]))
    with pytest.raises(ConfigError, match=r"by=source is 'web' in all \d+ train rows"):
        variants(f"dataset={same}", by="source")
    many = written(tmp_path / "many.csv", rows(500, [f"user {number}" for number in range(500)]))
    with pytest.raises(ConfigError) as refusal:
        variants(f"dataset={many}", by="source")
    assert str(refusal.value).endswith("hint: type by=source sweep.parts.largest=10")
    assert (
        len(variants(f"dataset={many}", by="source", largest=3)) == 6
    )  # of three rows none fill a batch; the others do


def test_steps_groups_stages_and_typed_keys_can_be_left_out():
    typed = ["step=[clean,augment_typos]", "dataset.steps.augment_typos.seed=3", "negatives=random", "adapt=[tsdae]"]
    typed += ["model.adapter=lora", "conversion.max_negatives=2", "adapt.tsdae.trainer.max_steps=2"]
    names = ["augment_typos", "negatives", "tsdae", "adapter", "conversion.max_negatives"]
    job = expand_paths([f"dataset={EXAMPLES / 'faq.csv'}", *typed, *SMALL])
    found = variants(f"dataset={EXAMPLES / 'faq.csv'}", *typed, without=names)
    assert [*found] == ["all", *(f"without {name}" for name in names)]
    gone = {name: {*job} - {*found[f"without {name}"].of(job)} for name in names}
    added = {name: [*found[f"without {name}"].adds] for name in names}
    assert gone["augment_typos"] == {"step=[clean,augment_typos]", "dataset.steps.augment_typos.seed=3"}
    assert added["augment_typos"] == ["step=[clean]"]
    assert (gone["negatives"], added["negatives"]) == ({"negatives=random"}, ["negatives=none"])
    assert (gone["tsdae"], added["tsdae"]) == ({"adapt=[tsdae]", "adapt.tsdae.trainer.max_steps=2"}, ["adapt=[]"])
    assert (gone["adapter"], added["adapter"]) == ({"model/adapter=lora"}, ["model/adapter=none"])
    assert (gone["conversion.max_negatives"], added["conversion.max_negatives"]) == (
        {"conversion.max_negatives=2"},
        [],
    )


def test_what_is_no_step_of_the_run_is_refused_with_those_that_are():
    with pytest.raises(ConfigError) as refusal:
        variants(f"dataset={EXAMPLES / 'faq.csv'}", "negatives=random", without=["negativs"])
    assert "without=negativs is no step or setting of this run. Expected some of: negatives" in str(refusal.value)
    assert "Did you mean 'negatives'?" in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({}, "by=source"),
        ({"by": "a", "without": ["b"]}, "by=null"),
        ({"by": 3}, "by=source"),
        ({"without": "negatives"}, "without=[negatives]"),
        ({"by": "a", "budget": "rows"}, "sweep.parts.budget=steps"),
        ({"by": "a", "largest": 0}, "sweep.parts.largest=10"),
        ({"by": "a", "foo": 1}, "~sweep.parts.foo"),
    ],
)
def test_settings_that_are_none_are_refused(settings, hint):
    with pytest.raises(ConfigError) as refusal:
        variants(f"dataset={EXAMPLES / 'faq.csv'}", **settings)
    assert f"type {hint}" in str(refusal.value) or f"one of: {hint}" in str(refusal.value)


@pytest.mark.slow
def test_all_train_as_many_steps_as_the_whole_unless_epochs_are_asked_for(tmp_path):
    path = written(tmp_path / "faq.csv", rows(80, ["web", "forum"]))
    long = (f"dataset={path}", "trainer.max_steps=-1", "trainer.num_train_epochs=2")
    job = [each for each in expand_paths([*long[:1], *SMALL]) if not each.startswith("trainer=")]

    def found(*jobs, **settings):
        with hydra_started():
            given = [*job, "trainer.per_device_train_batch_size=8", "trainer.num_train_epochs=2"]
            return variants_of(
                SETTINGS | {"by": "source"} | settings, [given, *([*given, *each] for each in jobs)], "config"
            )

    equal = found()
    assert {each.adds[-1] for each in equal.values()} == {"trainer.max_steps=20"}  # two epochs of ten batches
    assert [*equal] == ["all", "without forum", "without web"]  # of two, each alone is the run without the other
    assert "max_steps" not in str(found(budget="epochs"))
    with pytest.raises(ConfigError, match=r"type trainer.max_steps=20\nor.*budget=epochs|trainer.max_steps=20"):
        found(["trainer.num_train_epochs=3"])


@pytest.mark.parametrize(
    ("typed", "without", "fix"),
    [
        ((), "negatives", "negatives=random"),
        ((), "clean", "step=[clean]"),
        ((), "tsdae", "adapt=[tsdae]"),
        ((), "adapter", "model.adapter=lora"),
        ((), "anything", "without=null by=source"),
        (("step=[clean]",), "clear", "without=[clean]"),
    ],
)
def test_what_a_run_does_not_have_is_refused_where_it_has_no_step_at_all(typed, without, fix):
    job = expand_paths([*typed, "dataset=finance", "model=tiny", "test=finance", "paths.cache=null", "seed=1"])
    with hydra_started(), pytest.raises(ConfigError) as refusal:
        variants_of({"without": [without]}, [job], "config")
    assert f"type {fix}" in str(refusal.value)


def test_settings_of_a_yaml_of_your_own_may_leave_out_what_is_usual():
    from omegaconf import OmegaConf

    from embexp.config.session import option_files
    from embexp.sweep.parts import _USUAL

    assert OmegaConf.load(option_files("sweep")["leave_one_out"]).sweep.parts == _USUAL
    job = expand_paths([f"dataset={EXAMPLES / 'faq.csv'}", "negatives=random", *SMALL])
    with hydra_started():
        assert [*variants_of({"without": ["negatives"]}, [job], "config")] == ["all", "without negatives"]


def test_a_step_is_left_out_of_all_sets_of_a_mixture_that_have_it(tmp_path):
    files = [written(tmp_path / f"{name}.csv", rows(40, ["x"])) for name in ("a", "b", "c")]
    typed = (f"dataset=[{','.join(map(str, files))}]", "dataset.a.step=[clean]", "dataset.c.step=[clean]")
    typed += ("dataset.a.steps.clean.html=true", "dataset.b.negatives=random", "dataset.b.weight=2")
    found = variants(*typed, without=["clean", "negatives", "split"])
    assert found["without clean"] == Variant(
        ("mixture.sets.a.dataset.steps.clean", "mixture.sets.c.dataset.steps.clean"), ()
    )
    assert found["without negatives"] == Variant(("mixture.sets.b.dataset.steps.negatives",), ())
    assert found["without split"].adds[0] == "++mixture.sets.a.dataset.steps.split=null"
    job = quote_texts(expand_paths([*typed, *SMALL], mixes=True))
    assert not any("clean" in each for each in found["without clean"].of(job))
    for name in ("silver", "dataset", "seed"):
        with pytest.raises(ConfigError) as refusal:
            variants(*typed, without=[name])
        assert "Expected some of: clean, negatives, mixture.sets.a" in str(refusal.value).replace("split, ", "")


@pytest.mark.matrix
def test_what_changes_the_steps_of_the_whole_is_refused_with_equal_steps(tmp_path):
    path = written(tmp_path / "faq.csv", rows(40, ["web", "forum"]))
    job = [f"dataset={path}", "model=tiny", "threads=1", "tracking=none", "paths.cache=null", "negatives=random"]
    job = [*expand_paths(job), "trainer.per_device_train_batch_size=8"]
    plain = SETTINGS | {"without": ["negatives"]}
    for key in ("trainer.per_device_train_batch_size=4", "trainer.gradient_accumulation_steps=2"):
        with hydra_started(), pytest.raises(ConfigError, match=f"{key.partition('=')[0]} is swept"):
            variants_of(plain, [job, [*job, key]], "config")
    with hydra_started():
        found = variants_of(plain, [job, [*job, "loss=info_nce"]], "config")
    assert found["all"].adds == found["without negatives"].adds[1:]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (IndexError("of a bug"), "Traceback (most recent call last)"),
        (OSError(28, "No space left on device", "sweeps"), "a disk with room"),
        (ConfigError("is wrong", key="by", given=1), "Error: by=1 is wrong"),
    ],
)
def test_an_error_in_the_start_of_a_sweep_ends_the_program(error, text, monkeypatch, capsys):
    from omegaconf import OmegaConf

    from embexp.sweep import start

    def broken(*_):
        raise error

    monkeypatch.setattr(start, "_open_sweep", broken)
    with pytest.raises(SystemExit) as ended:  # which Hydra does not catch, unlike the error itself
        start.SweepCallback().on_multirun_start(OmegaConf.create({}))
    assert ended.value.code == 1
    assert text in capsys.readouterr().err


def test_a_job_gets_what_its_part_stands_for():
    known = {"all": Variant(), "without it's": Variant(("step",), ("step=[clean]",))}
    job = ["step=[clean,typos]", 'sweep.part="without it\'s"', "seed=1"]
    assert expanded(job, known) == ('sweep.part="without it\'s"', "seed=1", "step=[clean]")
    assert expanded(["seed=1"], known) == ("seed=1",)


def test_the_short_keys_are_for_such_a_sweep_only():
    assert expand_paths(["sweep=leave_one_out", "without=negatives,clean", "by=source"]) == [
        "sweep=leave_one_out",
        "sweep.parts.without=[negatives,clean]",
        "sweep.parts.by=source",
    ]
    with pytest.raises(ConfigError, match="type -m sweep=leave_one_out by=source"):
        expand_paths(["by=source"])


QUICK = (*TINY, "tracking=none", "trainer.max_steps=2", "trainer.per_device_train_batch_size=8", "seed=1")
BY_SOURCE = ("-m", "sweep=leave_one_out", "by=source", "dataset=faq.csv", f"test={EXAMPLES / 'graded.csv'}", *QUICK)


@pytest.mark.slow
def test_without_the_flag_of_a_multirun_nothing_is_left_out_in_silence(workplace):
    code, output = run_typed(workplace, *(each for each in BY_SOURCE if each != "-m"))
    assert code == 1
    assert "sweep=leave_one_out makes several runs, and -m was not typed" in output


@pytest.mark.matrix
def test_typed_again_nothing_is_run_twice(workplace):
    written(workplace / "faq.csv", rows(60, ["web", "forum"]))
    code, output = run_typed(workplace, *BY_SOURCE)
    assert code == 0, output
    assert "bottom line keep all until more is known" in output
    assert "budget      all trained 2 steps" in output
    code, output = run_typed(workplace, *BY_SOURCE)
    assert code == 0, output
    assert output.count("was done before") == 3


@pytest.mark.matrix
def test_another_part_adds_only_its_own_runs_on_one_part(workplace):
    sources = ["web", "forum", "mail"]
    written(workplace / "faq.csv", rows(90, sources))
    code, output = run_typed(workplace, *BY_SOURCE)
    assert code == 0, output
    written(workplace / "faq.csv", rows(90, sources) + [row | {"source": "chat"} for row in rows(120, ["x"])[90:]])
    code, output = run_typed(workplace, *BY_SOURCE)
    assert code == 0, output
    assert output.count("was done before") == 3  # on each of the three alone

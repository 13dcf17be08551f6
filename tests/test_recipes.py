"Recipes: smaller students, mixtures, drift, the teacher's own clips, marks along the training."
import ast
import shutil

import pytest
import torch

from asdvideo import evaluation
from asdvideo.checkpoints import load_network, publish
from asdvideo.denoiser import CausalLayout, Condition
from asdvideo.digits import SteeredDigits
from asdvideo.errors import AsdError
from asdvideo.evaluation import (
    MIXTURE,
    draw_marks,
    drift,
    evaluate_all,
    evaluate_marks,
    kept_row,
    mixture,
    reference,
    teacher_reference,
)
from asdvideo.files import PACKAGE, load_json
from asdvideo.judge import Judge
from asdvideo.randomness import Draws, seed_of, stream
from asdvideo.recipes import Home, Recipe, make_stage, sampler_of, tiny, train
from asdvideo.sampling import TEACHER_STEPS, generate
from asdvideo.settings import changed, from_record
from asdvideo.transformer import NetworkConfig, VideoTransformer

RECIPE = tiny()


def network(seed=0, layout=None):
    "A network of the recipe with random weights."
    torch.manual_seed(seed)
    net = VideoTransformer(RECIPE.network, layout or CausalLayout()).eval()
    for p in net.parameters():
        p.data += .1 * torch.randn_like(p)
    return net


@pytest.fixture
def home(tmp_path):
    "A judge, a teacher and a start, all with random weights."
    place = Home.at(tmp_path)
    publish(Judge(RECIPE.judge_network), place.network('judge'))
    publish(network(), place.network('teacher'))
    publish(network(1, CausalLayout(chunk=2)), place.network('init'))
    return place


def test_a_recipe_comes_back_from_its_record():
    small = NetworkConfig(size=16, width=16, depth=1, heads=1)
    recipe = changed(RECIPE, student=small, films='somewhere', cut__frames=6)
    assert from_record(Recipe, recipe.record()) == recipe
    assert (recipe.frames, recipe.chunk) == (6, 2) and RECIPE.frames == RECIPE.world.frames
    with pytest.raises(AsdError, match='a student with'):
        changed(RECIPE, student=NetworkConfig(size=24))


def test_a_smaller_student(home):
    from asdvideo.initialisation import PathSettings, record_paths

    net, _ = load_network(home.network('init'), 'cpu')
    publish(net, home.network('ar'))
    world, settings = SteeredDigits(RECIPE.world), PathSettings(count=16, shard=8, steps=4)
    record_paths(net, world, RECIPE.step_list, settings, home.runs/'paths', 'me', quiet=True)
    recipe = changed(RECIPE, student=NetworkConfig(size=16, width=8, depth=1, heads=1))
    train('init', recipe, home, quiet=True)
    stage = make_stage('asd', recipe, home)
    assert len(stage.student.model.blocks) == 1 and len(stage.fake_score.model.blocks) == 2
    assert stage.train_step(1)


def test_a_mixture_takes_equal_parts_in_turn():
    sampler = sampler_of(network(layout=CausalLayout(chunk=2)), RECIPE)
    counts, world = (1, 3), SteeredDigits(RECIPE.world)
    wishes = world.conditions(Draws([stream(0, 'x')], 7))
    video = mixture(sampler, counts, wishes, (7, 4), 5)
    for i, n in enumerate(counts):
        own = generate(sampler, n, wishes.rows(slice(i, None, 2)), seed_of(5, MIXTURE, n))
        assert torch.equal(video[i::2], own)
    assert mixture(sampler, counts, Condition(), (5, 4)).shape == (5, *world.shape)


def test_drift_is_the_mean_above_the_mixture():
    counts = {str(n): float(n) for n in RECIPE.dmd.counts}
    rows = [
        {'name': 'dmd', 'steps': steps, 'told': 'both', **dict.fromkeys(('frechet', 'density', 'coverage'), value)}
        for steps, value in {**counts, MIXTURE: 2., '1*': 99.}.items()
    ]
    other = {**rows[0], 'told': 'nothing', 'frechet': 50.}
    found = drift([*rows, other, {**other, 'name': 'asd', 'told': 'both'}], 'dmd', 'both', RECIPE)
    assert found['frechet'] == found['coverage'] == .5 and 'to_teacher' not in found
    for row in rows:
        row['to_teacher'] = dict.fromkeys(('frechet', 'density', 'coverage'), 3 * row['frechet'])
    assert drift(rows, 'dmd', 'both', RECIPE)['to_teacher']['frechet'] == 1.5


def test_the_teacher_beside_real_clips(home):
    real = reference(RECIPE, home)
    beside = teacher_reference('digit', real, RECIPE, home)
    files = {path: path.stat().st_mtime_ns for path in (home.runs/'rows').iterdir()}
    again = teacher_reference('digit', real, RECIPE, home)
    assert len(files) == 1 and files == {path: path.stat().st_mtime_ns for path in files}
    assert torch.equal(beside.phi, again.phi) and len(beside.phi) == RECIPE.clips
    row = kept_row('teacher', TEACHER_STEPS, 'digit', real, RECIPE, home, beside)
    assert row['to_teacher']['frechet'] < row['frechet'], 'a teacher is nearer to itself than to digits'
    assert row['to_teacher'].keys() >= {'frechet', 'density', 'coverage', 'tv_place'}
    assert kept_row('teacher', TEACHER_STEPS, 'digit', real, RECIPE, home) == row, 'it says more than is asked for'
    publish(network(7), home.network('teacher'))
    other = teacher_reference('digit', real, RECIPE, home)
    assert not torch.equal(other.phi, beside.phi), 'another teacher has other clips'
    assert kept_row('teacher', TEACHER_STEPS, 'digit', real, RECIPE, home, other) != row


def test_marks_along_a_training(home):
    recipe = changed(RECIPE, dmd__steps=5, marks=2)
    train('dmd', recipe, home, quiet=True)
    assert home.marks('dmd') == [0, 2, 4, 5]
    first, last = (load_network(home.network(f'dmd@{mark}'), 'cpu')[0] for mark in (0, 5))
    start, end = (load_network(home.network(name), 'cpu')[0] for name in ('init', 'dmd'))
    for a, b in ((first, start), (last, end)):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))
    rows = load_json(evaluate_marks(['dmd'], recipe, home, ['nothing'], 32, quiet=True))['rows']
    assert [row['mark'] for row in rows if row['steps'] == MIXTURE] == [0, 2, 4, 5]
    assert {row['name'] for row in rows} == {'dmd'} and len(rows) == 4 * (len(recipe.dmd.counts) + 2)
    assert len(draw_marks(rows, to_teacher=True).axes) == 1
    with pytest.raises(AsdError, match='told'):
        draw_marks(rows, told='digit')
    train('dmd', changed(recipe, dmd__steps=3), home, restart=True, quiet=True)
    assert home.marks('dmd') == [0, 2, 3], 'marks of an earlier training are removed'
    train('dmd-1', changed(recipe, marks=0), home, quiet=True)
    for wrong in ('dmd-1', 'teacher', 'nobody'):
        with pytest.raises(AsdError):
            evaluate_marks([wrong], recipe, home, quiet=True)


def test_the_table_has_teacher_mixture_and_drift(home):
    publish(network(2, CausalLayout(chunk=2)), home.network('told'))
    publish(network(3, CausalLayout(chunk=2)), home.network('only1'))
    rows = load_json(evaluate_all(['told', 'only1'], RECIPE, home, blocks=['nothing'], quiet=True))['rows']
    names = {row['name'] for row in rows}
    steps = {name: [row['steps'] for row in rows if row['name'] == name] for name in names}
    assert steps['teacher'] == ['1', '2', '4', '8', '32'] and steps['floor'] == ['0']
    assert steps['told'] == ['1', '1*', '2', '2*', '3', '4', MIXTURE, 'drift']
    assert steps['only1'] == ['1', '1*'], 'a specialist has no mixture'


def test_a_row_of_other_code_or_another_world_is_made_again(home, monkeypatch):
    real = reference(RECIPE, home)
    row = kept_row('floor', 0, 'nothing', real, RECIPE, home)
    assert kept_row('floor', 0, 'nothing', real, RECIPE, home) == row
    faster = changed(RECIPE, world__slow=2.)
    other = kept_row('floor', 0, 'nothing', reference(faster, home), faster, home)
    assert other['key']['world'] != row['key']['world'] and other['frechet'] != row['frechet']
    monkeypatch.setattr(evaluation, 'code_hash', lambda: 'other code')
    assert kept_row('floor', 0, 'nothing', real, RECIPE, home)['key']['code'] == 'other code'


def imported(file):
    "Modules of the package that a module imports."
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    names = [node.module for node in nodes if node.level or node.module.startswith('asdvideo.')]
    return {name.removeprefix('asdvideo.') for name in names}


def test_the_hash_of_the_code(tmp_path, monkeypatch):
    "A comment changes nothing, a number does; and every module that makes or measures videos is in it."
    for name in evaluation.MAKERS:
        shutil.copy(PACKAGE/f'{name}.py', tmp_path)
    hash_of, file = evaluation.code_hash.__wrapped__, tmp_path/'tracker.py'
    monkeypatch.setattr(evaluation, 'PACKAGE', tmp_path)
    text, before = file.read_text(), hash_of()
    file.write_text(f'"Another sentence."\n# and a comment\n{text}')
    assert hash_of() == before == evaluation.code_hash()
    file.write_text(f'{text}\nNUMBER = 1\n')
    assert hash_of() != before
    no_number = {'checkpoints', 'devices', 'errors', 'files', 'learner', 'recipes', 'settings', 'training'}
    used = {module for name in evaluation.MAKERS for module in imported(tmp_path/f'{name}.py')}
    assert used - no_number <= set(evaluation.MAKERS)


@pytest.mark.parametrize('name, values, said', [
    ('dmd', {'dmd__wait': 4}, r'wait=4 of steps=4: expected .* wait for at most 3'),
    ('asd', {'asd__calibrate': 2}, r'calibrate=2 with steps=4 and wait=1: expected more updates'),
    ('asd', {'asd__calibrate': 10**9}, 'expected more updates'),
])
def test_a_training_that_never_moves_or_pushes_is_refused(name, values, said, home):
    with pytest.raises(AsdError, match=said):
        make_stage(name, changed(RECIPE, **values), home)
    assert make_stage(name, RECIPE, home).train_step(1)

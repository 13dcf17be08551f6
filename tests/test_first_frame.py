"The first-frame laboratory: ways, fronts, stars, jumps, worlds; bad settings are refused."
import pytest
import torch

from asdvideo.causal import causal
from asdvideo.checkpoints import publish
from asdvideo.denoiser import CausalLayout
from asdvideo.digits import DigitsSettings, SteeredDigits
from asdvideo.errors import AsdError
from asdvideo.ffe import shifted_stars
from asdvideo.first_frame import (
    WORLDS,
    LaboratorySettings,
    alike,
    draw_laboratory,
    first_frame,
    front,
    laboratory,
    seen_change,
    shifted,
    written_out,
)
from asdvideo.judge import Judge
from asdvideo.measures import Measured, Reference
from asdvideo.recipes import Home, tiny
from asdvideo.sampling import Sampler
from asdvideo.schedule import StepList
from asdvideo.settings import changed
from asdvideo.transformer import VideoTransformer

STEPS = StepList(4, 3.)
WORLD = tiny().world
SETTINGS = LaboratorySettings(videos=64, totals=(2, 3))


@pytest.fixture(scope='module')
def student():
    "A small student with random weights, and a judge."
    torch.manual_seed(0)
    net = causal(VideoTransformer(tiny().network), CausalLayout(chunk=2)).eval()
    for p in net.parameters():
        p.data += .1 * torch.randn_like(p)
    return Sampler(net, STEPS, 4), Judge(tiny().judge_network).eval()


def test_names_are_written_out():
    assert written_out('2*', 3, STEPS) == '4,2,2' and written_out('1,2,3', 3, STEPS) == '1,2,3'
    with pytest.raises(AsdError):
        written_out('5', 3, STEPS)


def test_the_front_knows_what_is_better():
    rows = [
        {'steps': steps, 'passes': passes, 'frechet': value, 'coverage': 1 - value}
        for steps, passes, value in (('a', 3, .5), ('b', 4, .6), ('c', 5, .2), ('d', 5, .3))
    ]
    assert front(rows) == front(rows, 'coverage') == ['a', 'c']


def test_stars_are_compared_video_by_video():
    stars = shifted_stars(3, 4)
    base = torch.rand(50)
    measured = {star: Measured({}, {'density': base + .1 * i}) for i, star in enumerate(stars)}
    found = shifted(measured, stars)
    assert list(found) == stars[1:]
    for i, star in enumerate(stars[1:], 1):
        assert found[star] == pytest.approx([.1 * i] * 3, abs=1e-4), 'equal videos leave no width'


def test_a_jump_is_the_change_beyond_that_of_even_steps():
    video = torch.rand(20, 4, 1, 8, 8) * 2 - 1
    darker = torch.cat([video[:, :2], video[:, 2:] - .2], 1)
    found = seen_change(darker, video, 2)
    assert found['brightness'][0] == pytest.approx(-.1 / ((video.mean() + 1) / 2).item(), rel=.02)
    assert found['sharpness'][1] <= 1e-4 <= found['sharpness'][2] + 2e-4
    with pytest.raises(AsdError):
        seen_change(darker, video, 4)


def test_similarity_of_a_student(student):
    sampler, judge = student
    real = Reference.of_world(judge, SteeredDigits(WORLD, 'test'), 64)
    tables = alike(sampler, real, SETTINGS)
    assert tables.keys() == {'raw', 'centred', 'nmse'}
    for table in tables.values():
        assert table.shape == (2, 4) and torch.allclose(table[:, -1], torch.ones(2), atol=1e-4)
    again = alike(sampler, real, changed(SETTINGS, report=9))
    assert not torch.equal(again['nmse'], tables['nmse']), 'the noise is that of the report'
    with pytest.raises(AsdError, match='student'):
        alike(Sampler(VideoTransformer(tiny().network), STEPS, 4), real, SETTINGS)


def test_search_and_report_have_different_noise(student):
    sampler, judge = student
    found = laboratory(sampler, judge, WORLD, SETTINGS, quiet=True)
    assert [row['steps'] for row in found['search']] == ['1,1', '1,2', '2,1']
    report = {row['steps']: row for row in found['report']}
    assert {'1,1', '4,1', '2,2', '4,2', '4,4', '1,4'} <= report.keys()
    assert report['4,1']['name'] == '1*' and report['1,4']['name'] == ''
    assert report['4,1']['passes'] == report['1,4']['passes'] == 4 + 1 + 1
    assert found['search'][0]['frechet'] != report['1,1']['frechet']
    assert report['1,1']['front'] and set(found['shifted']) == {'1,4'}
    assert set(found['change']) == {'brightness', 'sharpness'}
    again = laboratory(sampler, judge, WORLD, changed(SETTINGS, search=7), quiet=True)
    assert {row['steps']: row['frechet'] for row in again['report'] if row['name']} == {
        row['steps']: row['frechet'] for row in found['report'] if row['name']
    }, 'the report does not depend on the search'
    assert len(draw_laboratory(found).axes) == 2


@pytest.mark.parametrize(
    'values', [{'search': 2}, {'videos': 63}, {'told': 'all'}, {'measure': 'ink'}, {'totals': ()}, {'most': 0}]
)
def test_bad_settings_are_refused(values):
    with pytest.raises(AsdError):
        changed(SETTINGS, **values)


def test_what_the_laboratory_refuses(student, tmp_path):
    sampler, judge = student
    with pytest.raises(AsdError, match='total=1'):
        laboratory(sampler, judge, WORLD, changed(SETTINGS, totals=(1,)), quiet=True)
    home = Home.at(tmp_path)
    with pytest.raises(AsdError, match='earlier training'):
        first_frame(['init'], tiny(), home, SETTINGS)
    with pytest.raises(AsdError, match='digits'):
        first_frame(['init'], changed(tiny(), films='films'), home, SETTINGS)


def test_worlds_differ_in_one_law(student):
    assert [changed(DigitsSettings(), **changes) for changes in WORLDS.values()][0] == DigitsSettings()
    assert all(len(changes) < 2 for changes in WORLDS.values())


def test_results_are_kept(student, tmp_path):
    from asdvideo.files import load_json

    sampler, judge = student
    home = Home.at(tmp_path)
    publish(sampler.net, home.network('init'))
    publish(judge, home.network('judge'))
    file = first_frame(['init'], tiny(), home, changed(SETTINGS, totals=(2,)), quiet=True)
    stored = load_json(file)
    assert [entry['world'] for entry in stored['results']] == list(WORLDS) and stored['settings']['videos'] == 64

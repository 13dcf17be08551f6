"Your own clips: files of all kinds, labels, the cache, the world, measures without a judge, and the whole chain."
import os
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from asdvideo.cli import main
from asdvideo.clips import (
    FEWEST,
    ClipReference,
    CutSettings,
    ask_by_name,
    by_number,
    clips_of,
    find_films,
    kept_clips,
    labels_of,
    load_clips,
    read_labels,
    square,
)
from asdvideo.denoiser import Condition
from asdvideo.errors import AsdError
from asdvideo.evaluation import check_gate, reproduce
from asdvideo.files import load_json
from asdvideo.randomness import Draws, stream
from asdvideo.recipes import Home, make_stage, own_recipe, tiny, train
from asdvideo.sampling import load
from asdvideo.settings import changed
from asdvideo.transformer import NetworkConfig

CUT = CutSettings(size=8, frames=4, colour=False)


def frames(count, height=12, width=15, seed=0):
    "Random frames in bytes, in blocks that survive compression."
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (count, 3, 3, 3), dtype=np.uint8)
    return small.repeat(-(-height // 3), 1).repeat(-(-width // 3), 2)[:, :height, :width]


def gif(path, count=40, **options):
    "A film."
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, frames(count, **options), extension='.gif', plugin='pillow', duration=100, loop=0)
    return path


@pytest.fixture
def films(tmp_path):
    "Three films of two kinds, 30 clips of each."
    for i, name in enumerate(('cat/a.gif', 'cat/deep/b.gif', 'dog/c.gif')):
        gif(tmp_path/'films'/name, 120, seed=i)
    return tmp_path/'films'


# files

def test_all_kinds_of_films(tmp_path):
    x = frames(8, 30, 46)
    options = {'plugin': 'FFMPEG', 'fps': 8, 'macro_block_size': 1, 'ffmpeg_log_level': 'error'}
    iio.imwrite(tmp_path/'a.mp4', x, **options)
    iio.imwrite(tmp_path/'b.WEBM', x, extension='.webm', codec='libvpx', **options)
    iio.imwrite(tmp_path/'c.gif', x, plugin='pillow', duration=100)
    (tmp_path/'d').mkdir()
    for i, frame in enumerate(x):
        iio.imwrite(tmp_path/'d'/f'{i + 5}.png', frame)
    found = {film.name: clips_of(film, CutSettings(size=10, frames=4)) for film in find_films(tmp_path)}
    assert found.keys() == {'a.mp4', 'b.WEBM', 'c.gif', 'd'}
    assert {tuple(clips.shape) for clips in found.values()} == {(2, 4, 3, 10, 10)}
    for clips in found.values():
        assert (clips.float() - found['d'].float()).abs().mean() < 25, 'the same film in every format'


def test_pictures_of_every_kind_and_odd_sizes(tmp_path):
    for i, mode in enumerate(('grey', 'colour', 'alpha', 'colour')):
        frame = frames(1, 9 + 4 * i, 7 + i)[0]
        frame = frame[..., 0] if mode == 'grey' else frame
        frame = np.dstack([frame, np.full(frame.shape[:2], 9, np.uint8)]) if mode == 'alpha' else frame
        iio.imwrite(tmp_path/f'{i}.png', frame)
    film, = find_films(tmp_path)
    assert film.folder == '' and clips_of(film, CUT).shape == (1, 4, 1, 8, 8)
    assert clips_of(film, changed(CUT, colour=True)).shape == (1, 4, 3, 8, 8)


def test_the_square_is_the_middle():
    frame = np.zeros((6, 10, 3), np.uint8)
    frame[:, 2:8] = (255, 0, 0)
    assert (square(frame, 6)[0] == 255).all() and (square(frame, 6)[1:] == 0).all()
    assert (square(frame, 3, colour=False) == round(.299 * 255)).all()
    assert square(frame.transpose(1, 0, 2), 6).float().mean() == square(frame, 6).float().mean()
    assert square(np.full((1, 1, 3), 7, np.uint8), 4).unique().tolist() == [7]


def test_every_and_hop(tmp_path):
    for i in range(13):
        iio.imwrite(tmp_path/f'{i}.png', np.full((4, 4, 3), 10 * i, np.uint8))
    film, = find_films(tmp_path)
    first = clips_of(film, changed(CUT, frames=2, every=2, hop=1, size=4))[:, :, 0, 0, 0]
    assert first.tolist() == [[20 * i, 20 * i + 20] for i in range(6)]
    assert clips_of(film, changed(CUT, size=4))[:, 0, 0, 0, 0].tolist() == [0, 40, 80]
    with pytest.raises(AsdError, match='at least 14'):
        clips_of(film, changed(CUT, frames=14))


def test_numbers_are_sorted_as_numbers(tmp_path):
    names = ['x10.png', 'x9.png', 'x1.png', 'y.png']
    found = sorted((tmp_path/name for name in names), key=by_number)
    assert [path.name for path in found] == ['x1.png', 'x9.png', 'x10.png', 'y.png']


def test_broken_files_are_skipped_and_named(films):
    (films/'dog'/'text.mp4').write_text('no film')
    (films/'dog'/'empty.webm').write_bytes(b'')
    whole = gif(films/'dog'/'cut.gif', 40).read_bytes()
    (films/'dog'/'cut.gif').write_bytes(whole[:len(whole) // 2])
    gif(films/'dog'/'short.gif', 3)
    (films/'png').mkdir()
    (films/'png'/'1.png').write_bytes(b'\x89PNG\r\n\x1a\n')
    (films/'.hidden.gif').write_bytes(b'')
    (films/'notes.txt').write_text('not a film')
    world = load_clips(films, CUT)
    broken = {'dog/text.mp4', 'dog/empty.webm', 'dog/cut.gif', 'dog/short.gif', 'png'}
    assert world.skipped.keys() == broken and world.films == 3 + len(broken)
    assert all(reason and '\n' not in reason for reason in world.skipped.values())
    assert 'at least 4' in world.skipped['dog/short.gif'] and len(world.pixels) == 72


@pytest.mark.parametrize('count', [0, FEWEST - 1])
def test_tiny_sets_are_refused(tmp_path, count):
    if count:
        gif(tmp_path/'films'/'a.gif', 4 * count)
        gif(tmp_path/'films'/'b.gif', 2)
    else:
        (tmp_path/'films').mkdir()
    with pytest.raises(AsdError, match='39 clips.*at least 40.*b.gif' if count else 'a folder with'):
        load_clips(tmp_path/'films', CUT, tmp_path/'cache.safetensors')
    assert not (tmp_path/'cache.safetensors').exists()
    for wrong in (tmp_path/'nothing', __file__):
        with pytest.raises(AsdError, match='folder that exists'):
            load_clips(wrong, CUT)


@pytest.mark.parametrize('values', [{'frames': 5}, {'size': 0}, {'held': 0.}, {'every': 0}, {'colour': 1}])
def test_settings_that_are_refused(values):
    with pytest.raises(AsdError):
        changed(CUT, **values)


# labels

def test_labels_from_folders_and_from_a_file(films):
    found = find_films(films)
    by_name = dict(zip((film.name for film in found), labels_of(films, found, None).numbers))
    assert by_name == {'cat/a.gif': (0,), 'cat/deep/b.gif': (0,), 'dog/c.gif': (1,)}
    (films/'l.csv').write_text('file,size,place\n"dog/c.gif", big ,\n\ncat/a.gif,small,"in, here"\n')
    labels = labels_of(films, found, 'l.csv')
    assert labels.kinds == ('size', 'place') and labels.names == (('big', 'small'), ('in, here',))
    by_name = dict(zip((film.name for film in found), labels.numbers))
    assert by_name == {'dog/c.gif': (0, -1), 'cat/a.gif': (1, 0), 'cat/deep/b.gif': (-1, -1)}
    (films/'l.csv').write_text('\ufefffile,size,none\ndog/c.gif,big,\n', encoding='utf-8')
    assert labels_of(films, found, 'l.csv').kinds == ('size',), 'a kind without a word is left out'


MISTAKES = {
    'nothing': (b'', 'line 1'),
    'no kind': (b'file\ndog/c.gif\n', 'line 1'),
    'no header': (b'dog/c.gif,big\n', 'line 1'),
    'a kind twice': (b'file,a,a\ndog/c.gif,1,2\n', 'line 1'),
    'too few cells': (b'file,a,b\ndog/c.gif,1,2\ncat/a.gif,1\n', 'line 3: 2 cells'),
    'unknown film': (b'file,a\ndog/x.gif,1\n', 'line 2.*dog/x.gif'),
    'a film twice': (b'file,a\ndog/c.gif,1\ndog/c.gif,2\n', 'line 3.*again'),
    'only open': (b'file,a\ndog/c.gif,\n', 'at least one'),
    'not UTF-8': ('file,a\ndog/c.gif,\xfc\n'.encode('latin-1'), 'UTF-8'),
    'open quote': (b'file,a\n"dog/c.gif,1\n', 'not a csv'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistakes_in_labels(films, name):
    text, message = MISTAKES[name]
    (films/'l.csv').write_bytes(text)
    with pytest.raises(AsdError, match=message) as caught:
        read_labels(films/'l.csv', find_films(films))
    assert '\n' not in str(caught.value)
    with pytest.raises(AsdError, match='exists'):
        load_clips(films, changed(CUT, labels='nothing.csv'))


# the cache

def test_the_cache_is_made_again_when_something_changes(films, tmp_path):
    cache = tmp_path/'runs'/'clips.safetensors'

    def made(cut=CUT):
        "Whether the cache was written."
        before = cache.stat().st_mtime_ns if cache.exists() else 0
        kept_clips(films, cut, cache, quiet=True)
        return cache.stat().st_mtime_ns != before

    assert made() and not made()
    os.utime(films/'cat'/'a.gif', ns=(1, 1))
    assert made() and not made()
    gif(films/'dog'/'more.gif', 8)
    assert made() and not made()
    (films/'dog'/'more.gif').unlink()
    assert made() and made(changed(CUT, hop=3)) and made() and not made()
    (films/'l.csv').write_text('file,a\ndog/c.gif,1\n')
    labelled = changed(CUT, labels='l.csv')
    assert made(labelled) and not made(labelled)
    (films/'l.csv').write_text('file,a\ndog/c.gif,two\n')
    assert made(labelled)
    assert load_clips(films, labelled, cache).names == (('two',),)
    cache.write_bytes(cache.read_bytes()[:-100])
    assert made(labelled) and not made(labelled), 'a damaged cache is made again'


def test_a_process_that_is_killed_leaves_no_half_cache(films, tmp_path):
    cache = tmp_path/'clips.safetensors'
    code = (
        'import os, sys, asdvideo.files as files\n'
        'from asdvideo.clips import CutSettings, kept_clips\n'
        'files.os.replace = lambda *paths: os.kill(os.getpid(), 9)\n'
        'kept_clips(sys.argv[1], CutSettings(size=8, frames=4, colour=False), sys.argv[2], quiet=True)\n'
    )
    done = subprocess.run([sys.executable, '-c', code, str(films), str(cache)], capture_output=True)
    assert done.returncode == -9, done.stderr
    assert not cache.exists() and list(tmp_path.glob('.*.part')), 'it was killed before the file had its name'
    assert len(load_clips(films, CUT, cache, quiet=True).pixels) == 72 and cache.exists()


# the world

def test_the_world_keeps_the_contract(films):
    train, test = (load_clips(films, changed(CUT, hidden=.5), part=part, quiet=True) for part in ('train', 'test'))
    assert train.shape == (4, 1, 8, 8) and train.labels == (2,) and len(train.pixels) + len(test.pixels) == 90
    blocks = [stream(0, 'a'), stream(0, 'b')]
    video, condition = train.sample(Draws(blocks, 5))
    assert video.shape == (10, *train.shape) and video.min() >= -1 and video.max() <= 1 and video.std() > .2
    assert condition.labels.shape == (10, 4, 1)
    again, _ = train.sample(Draws([stream(0, 'b')], 5))
    assert torch.equal(again, video[5:]), 'a block does not depend on who draws it'
    told = train.conditions(Draws([stream(1, 'x')], 4000)).labels[:, 0, 0]
    assert .45 < (told == -1).float().mean() < .55
    assert load_clips(films, CUT, quiet=True).digest() == load_clips(films, CUT, quiet=True).digest() != test.digest()
    with pytest.raises(AsdError, match='part'):
        load_clips(films, CUT, part='judge')


def test_films_without_labels(tmp_path):
    gif(tmp_path/'a.gif', 200)
    world = load_clips(tmp_path, CUT, quiet=True)
    assert world.labels == () and world.conditions(Draws([stream(0, 'x')], 3)) == Condition()
    assert world.sample(Draws([stream(0, 'x')], 3))[1] == Condition()
    assert NetworkConfig(labels=world.labels).labels == ()
    assert ask_by_name('', world.facts(), 4) == Condition()
    with pytest.raises(AsdError, match='nothing, there are none'):
        ask_by_name('cat', world.facts(), 4)


def test_wishes_by_name():
    facts = {'kinds': ['animal', 'place'], 'names': [['cat', 'dog'], ['in', 'cat']]}
    assert ask_by_name('dog, in', facts, 3).labels.tolist() == [[[1, 0]] * 3]
    assert ask_by_name('place=cat', facts, 1).labels.tolist() == [[[-1, 1]]]
    assert ask_by_name('', facts, 1).labels.tolist() == [[[-1, -1]]]
    for wrong in ('cat', 'bird', 'dog,animal=cat', 'colour=dog', 'in,in', '=dog,dog'):
        with pytest.raises(AsdError, match='animal: cat, dog'):
            ask_by_name(wrong, facts, 1)


# measures

def test_measures_know_real_clips_noise_and_copies(films):
    train, test = (load_clips(films, CUT, part=part, quiet=True) for part in ('train', 'test'))
    real = ClipReference.of_world(train, test, 1000)
    assert len(real.phi) == 18
    video, shown = train.clips(torch.arange(18))
    copies = real.measure(video, real.asked('both', shown))
    assert copies.numbers['nearest'] < 1e-3 and copies.numbers['label'] == 1
    grey = real.measure(torch.zeros_like(video), shown)
    assert grey.numbers['frechet'] > 2 * copies.numbers['frechet'] and grey.numbers['sharpness'] < 1e-3
    assert grey.numbers['motion'] == 0 and grey.numbers['coverage'] < copies.numbers['coverage']
    assert .5 < copies.numbers['sharpness'] < 2 and len(copies.numbers['motion_frames']) == 4
    honest = real.held_out(copies, 'both')
    assert honest.numbers['nearest'] == pytest.approx(1, abs=1e-3) and 'nearest' not in honest.clips
    assert 'label' not in real.measure(video, Condition()).numbers
    assert real.measure(video, real.asked('nothing')).numbers['label'] is None
    same = real.beside(video, shown).measure(video, shown)
    assert same.numbers['frechet'] < 1e-6 and same.numbers['coverage'] == 1
    for wrong in (video[:, :2], video * torch.nan):
        with pytest.raises(AsdError):
            real.measure(wrong, shown)
    with pytest.raises(AsdError, match='block'):
        real.asked('digit')


# the chain

@pytest.fixture(scope='module')
def chain(tmp_path_factory):
    "A whole chain on own clips without labels, with a smaller student."
    folder = tmp_path_factory.mktemp('own')
    gif(folder/'films'/'a.gif', 240)
    home, cut = Home.at(folder/'home'), CutSettings(size=8, frames=4)
    small = changed(tiny(), student=NetworkConfig(size=16, width=16, depth=1, heads=1))
    recipe = own_recipe(folder/'films', cut, small, home, quiet=True)
    return folder/'films', home, recipe, reproduce(['asd'], recipe=recipe, home=home, quiet=True)


def test_the_whole_chain_runs_on_own_clips(chain):
    folder, home, recipe, file = chain
    assert recipe.network.channels == 3 and recipe.network.labels == () and recipe.student.size == 8
    rows = load_json(file)['rows']
    assert {row['told'] for row in rows} == {'both', 'nothing'} and not (home.weights/'judge.safetensors').exists()
    assert all('to_teacher' in row and 'sharpness' in row for row in rows if row['steps'] != 'drift')
    student, teacher = (load(home.network(name), 'cpu') for name in ('asd', 'teacher'))
    assert len(student.net.blocks) == 1 and len(teacher.net.blocks) == 2 and student.own['kinds'] == []
    assert check_gate('teacher', recipe, home) == {}
    with pytest.raises(AsdError, match='digits'):
        make_stage('judge', recipe, home)
    with pytest.raises(AsdError, match='own_recipe'):
        from asdvideo.recipes import own_clips
        own_clips(tiny(), home)


def test_commands_take_own_clips(chain, tmp_path, capsys):
    folder, home, recipe, _ = chain
    weights = str(home.network('asd'))
    assert main(['sample', '--weights', weights, '--steps', '2', '--out', str(tmp_path/'a.png')]) == 0
    assert main(['sample', '--weights', weights, '--label', 'cat', '--out', str(tmp_path/'b.png')]) == 2
    words = ['evaluate', '--weights', weights, '--steps', '1', '--videos', '16', '--json', str(tmp_path/'r.json')]
    assert main([*words, '--clips', str(folder)]) == 0 and load_json(tmp_path/'r.json')['frechet'] > 0
    assert main(words) == 2 and main([*words, '--clips', str(tmp_path/'nothing')]) == 2
    assert main([*words, '--clips', str(folder), '--block', 'digit']) == 2
    capsys.readouterr()
    words = ['train', 'teacher', '--clips', str(folder), '--cut.size', '8', '--cut.frames', '4', '--steps', '1']
    more = ['--batch', '8', '--block', '8', '--folder', str(tmp_path/'home')]
    assert main([*words, *more]) == 0
    assert 'Films: 1, clips for training: 48, labels: none.' in capsys.readouterr().out
    assert load(tmp_path/'home'/'weights'/'teacher.safetensors', 'cpu').own['cut']['size'] == 8
    words[1] = 'judge'
    assert main([*words, *more]) == 2 and 'expected the digits' in capsys.readouterr().err


def test_a_training_is_not_continued_with_other_films(chain, tmp_path):
    folder, home, recipe, _ = chain
    gif(folder/'b.gif', 40, seed=5)
    try:
        with pytest.raises(AsdError, match='clips: .* then'):
            train('teacher', own_recipe(folder, recipe.cut, recipe, home, quiet=True), home, quiet=True)
    finally:
        (folder/'b.gif').unlink()

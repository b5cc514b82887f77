"""The rates and sizes every part agrees on (units in the names or the comments)."""

import math

VIDEO_FPS = 25  # frames per second of every mouth track
SAMPLE_RATE = 16_000  # Hz, mono
SAMPLES_PER_FRAME = SAMPLE_RATE // VIDEO_FPS  # 640 samples to a video frame
HOP_LENGTH = 160  # samples between mel frames: 100 Hz
N_FFT = 640  # samples; the Hann window has the same length
N_MELS = 80
LOG_FLOOR = math.log(1e-5)  # of natural-log mel: the value of silence, and the lower end of the scaled range
LOG_CEILING = 2.0  # the upper end of the scaled range; a full-scale sine reaches about 1.9
MEL_PER_FRAME = SAMPLES_PER_FRAME // HOP_LENGTH  # 4 mel frames to a video frame
UNITS_PER_FRAME = 2  # HuBERT units: 50 Hz
LETTERS_PER_FRAME = 2  # steps in which text is spelled: 50 Hz
MOUTH_SIZE = 96  # pixels, grey mouth crop on disk
CROP_SIZE = 88  # pixels, what the networks see
MOUTH_MEAN, MOUTH_STD = 0.421, 0.165  # of grey / 255, as AV-HuBERT was trained
FACE_SIZE = 112  # pixels, aligned RGB identity crop
FACE_CROPS = 4  # identity crops kept per clip
EXPRESSION_SIZE = 48  # pixels, grey crop of the whole face, one to a video frame
SPEAKER_DIM = 256  # length of a speaker embedding

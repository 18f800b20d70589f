/*
 * The schedule: the network streams through time. A stage runs as soon as the vectors that it reads exist, the latest
 * such stage first, so a block needs only a ring of as many vectors as its convolution has taps, and no layer is ever
 * stored as a whole. Stage 0 is the stem, stage i the block i - 1.
 */
#include "anyecg_network.h"

#include <string.h>

#include "anyecg_layers.h"

/* Returns where the next vector of a block's input goes, and notes that it is there. */
static int8_t *next_vector(struct anyecg_network *network, unsigned stage) {
  const struct anyecg_block *block = &anyecg_blocks[stage - 1u];
  struct anyecg_ring_state *ring = &network->stages[stage];
  int8_t *vector = network->rings.bytes + block->ring + ring->slot * block->depth.channels;

  ring->slot = (uint8_t)(ring->slot + 1u < block->depth.taps ? ring->slot + 1u : 0u);
  ring->missing--;
  return vector;
}

/* Puts what stands before and after a signal into the ring of a block. */
static void pad(struct anyecg_network *network, unsigned stage) {
  const struct anyecg_block *block = &anyecg_blocks[stage - 1u];

  memset(next_vector(network, stage), block->zero, block->depth.channels);
}

/* How long a layer takes for one vector, in parts of ANYECG_WORK; only the proportions matter. */
static uint32_t work_of(const struct anyecg_dense *layer) { return layer->outputs * (layer->inputs + 16u); }

static void run_stem(const struct anyecg_network *network, unsigned step, int8_t *y) {
  const int32_t first = (int32_t)(step * anyecg_stem.stride) - anyecg_stem.left;
  ANYECG_ALIGN4 int16_t x[ANYECG_STEM_INPUTS];
  unsigned i;

  for (i = 0u; i < ANYECG_STEM_INPUTS; i++) {
    const int32_t at = first + (int32_t)i;
    x[ANYECG_LANE(i)] = at >= 0 && at < (int32_t)ANYECG_INPUT_VALUES ? network->window[at] : anyecg_stem.zero;
  }
  anyecg_dense(&anyecg_stem.dense, x, y);
}

static void run_block(const struct anyecg_network *network, unsigned stage, int8_t *y) {
  const struct anyecg_block *block = &anyecg_blocks[stage - 1u];
  const int8_t *ring = network->rings.bytes + block->ring;
  const unsigned oldest = network->stages[stage].slot; /* a full ring begins where the next vector would go */
  ANYECG_ALIGN4 int16_t x[ANYECG_CHANNELS_MAX];

  anyecg_depthwise(&block->depth, ring, oldest, x);
  anyecg_dense(&block->point, x, y);
  if (block->add != NULL) {
    unsigned centre = oldest + block->left;
    if (centre >= block->depth.taps) {
      centre -= block->depth.taps;
    }
    anyecg_add(block->add, ring + centre * block->depth.channels, y, block->point.outputs);
  }
}

/* Runs a stage and hands its vector to the next one. */
static void run(struct anyecg_network *network, unsigned stage) {
  struct anyecg_ring_state *own = &network->stages[stage];
  int8_t last[ANYECG_POOL_CHANNELS];
  int8_t *y = last;

  if (stage + 1u < ANYECG_STAGES) {
    y = next_vector(network, stage + 1u);
  }
  if (stage == 0u) {
    run_stem(network, own->made, y);
    network->work = work_of(&anyecg_stem.dense);
  } else {
    const struct anyecg_block *block = &anyecg_blocks[stage - 1u];
    run_block(network, stage, y);
    own->missing = block->stride;
    network->work = work_of(&block->point) + block->depth.channels * (2u * block->depth.taps + 16u);
  }
  own->made++;
  if (y == last) {
    unsigned c;
    for (c = 0u; c < ANYECG_POOL_CHANNELS; c++) {
      network->sums[c] += last[c];
    }
  }
}

/* The mean over time, and the layers after it. */
static void finish(const struct anyecg_network *network) {
  ANYECG_ALIGN4 int16_t x[ANYECG_CHANNELS_MAX];
  int8_t y[ANYECG_CHANNELS_MAX];
  unsigned i, layer;

  anyecg_mean(&anyecg_pool, network->sums, x);
  for (layer = 0u; layer + 1u < ANYECG_HEAD_LAYERS; layer++) {
    anyecg_dense(&anyecg_heads_layers[layer], x, y);
    for (i = 0u; i < anyecg_heads_layers[layer].outputs; i++) {
      x[ANYECG_LANE(i)] = y[i];
    }
  }
  anyecg_dense(&anyecg_heads_layers[layer], x, network->outputs);
}

void anyecg_network_begin(struct anyecg_network *network, const int8_t *window, int8_t *outputs) {
  unsigned stage;

  memset(network, 0, sizeof(*network));
  network->window = window;
  network->outputs = outputs;
  for (stage = 1u; stage < ANYECG_STAGES; stage++) {
    const struct anyecg_block *block = &anyecg_blocks[stage - 1u];
    struct anyecg_ring_state *ring = &network->stages[stage];
    ring->missing = block->depth.taps;
    while (ring->slot < block->left) {
      pad(network, stage);
    }
  }
}

static unsigned steps_of(unsigned stage) { return stage == 0u ? anyecg_stem.steps : anyecg_blocks[stage - 1u].steps; }

bool anyecg_network_step(struct anyecg_network *network) {
  unsigned stage = network->next;

  if (stage >= ANYECG_STAGES || network->stages[stage].missing != 0u) {
    /* No later stage has all it needs: the first that is not done. The ones before it are, so its input has ended. */
    for (stage = 0u; stage < ANYECG_STAGES && network->stages[stage].made == steps_of(stage);) {
      stage++;
    }
    if (stage == ANYECG_STAGES) {
      finish(network);
      return false;
    }
    while (network->stages[stage].missing != 0u) {
      pad(network, stage);
    }
  }
  run(network, stage);
  network->next = (uint8_t)(stage + 1u);
  return true;
}

void anyecg_predict(struct anyecg_network *network, const int8_t *window, int8_t *outputs) {
  anyecg_network_begin(network, window, outputs);
  while (anyecg_network_step(network)) {
  }
}

/* SPDX-License-Identifier: MIT */
/*
 * The other end of the back end's unix socket: a sender and a receiver that
 * speak QEMU's framing (a 4-byte big-endian length before each frame on a
 * stream, one frame a datagram otherwise).
 *
 * Threads
 *   Sender and receiver have one each; struct peer itself is used by the
 *   receiver, or by the main thread while no receiver runs.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

struct peer;

/** peer_open() - Connect to the back end at @remote; @local: dgram, our own path; NULL: stream.
 *  Waits some seconds for the back end to come up. Return: owned. */
struct peer *peer_open(const char *remote, const char *local);
void peer_close(struct peer *p);

/** peer_send() - Send frame number @seq, waiting for room for a while. Return: was it sent? */
bool peer_send(struct peer *p, size_t size, uint64_t seq);

/** peer_send_batch() - Stream: send @cnt frames, up to SENDER_BATCH_MAX, in one call; all of them. */
void peer_send_batch(struct peer *p, size_t size, uint64_t seq, unsigned cnt);

/**
 * peer_recv() - Take what has arrived
 * @flags: MSG_DONTWAIT or 0: wait a tenth of a second
 *
 * Return: false: nothing.
 */
bool peer_recv(struct peer *p, int flags, struct tally *tally);

/**
 * struct sender - Frames into the socket; set the first part
 * @size:     bytes a frame; 0: mixed
 * @batch:    frames a write (dgram: a call)
 * @limit:    stop after so many; 0: none
 * @pace_pps: frames a second; 0: as many as are taken
 */
struct sender {
	struct peer *peer;
	size_t size;
	unsigned batch;
	uint64_t limit;
	uint64_t pace_pps;

	atomic_uint_fast64_t sent;
	atomic_bool stop;
	pthread_t thread;
};

#define SENDER_BATCH_MAX 64

void sender_start(struct sender *s);
void sender_stop(struct sender *s);

/**
 * struct receiver - Frames out of the socket
 * @paused: while set, it does not read
 * @tally:  valid after receiver_stop()
 */
struct receiver {
	struct peer *peer;

	atomic_uint_fast64_t frames, bytes;
	atomic_bool paused;
	atomic_bool stop;
	struct tally tally;
	pthread_t thread;
};

void receiver_start(struct receiver *r);
void receiver_stop(struct receiver *r);

#endif

/* Delays each thread at the start of each parallel region of GNU OpenMP, by a random time.
 *
 * Preloaded, it takes the place of GOMP_parallel, the function that starts every region that GCC
 * has compiled, and calls the real one. The longest delay is LONGEST_NS, halved up to MAGNITUDES - 1
 * times, each equally often. A thread that has waited for BUDGET_NS in all waits ever more rarely,
 * or a program of many regions would not end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_NS 500000
#define MAGNITUDES 6
#define BUDGET_NS INT64_C(1000000000)

typedef void (*Region)(void *);
typedef void (*Parallel)(Region, void *, unsigned, unsigned);

struct delayed {
    Region region;
    void *data;
};

long harness_delayed_regions; /* read back by delays.py */

static Parallel real_parallel;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Marsaglia's xorshift (2003), one for each thread. */
static uint64_t next_random(void) {
    static __thread uint64_t state;
    if (!state)
        state = (uint64_t)now_ns() ^ (uint64_t)(uintptr_t)&state ^ ((uint64_t)getpid() << 32);
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static void wait_at_random(void) {
    static __thread int64_t waited_ns;
    if (waited_ns > BUDGET_NS && (int64_t)(next_random() % (uint64_t)waited_ns) > BUDGET_NS)
        return;
    int64_t start = now_ns();
    int64_t delay_ns = (int64_t)((next_random() % LONGEST_NS) >> (next_random() % MAGNITUDES));
    while (now_ns() < start + delay_ns)
        ;
    waited_ns += delay_ns;
}

static void run_delayed(void *data) {
    struct delayed *delayed = data;
    wait_at_random();
    delayed->region(delayed->data);
}

/* The library may have been loaded for another one alone, where RTLD_NEXT does not look. */
static int find_parallel(struct dl_phdr_info *library, size_t size, void *unused) {
    (void)size, (void)unused;
    if (!strstr(library->dlpi_name, "libgomp"))
        return 0;
    void *handle = dlopen(library->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
    real_parallel = handle ? (Parallel)dlsym(handle, "GOMP_parallel") : NULL;
    return real_parallel != NULL;
}

void GOMP_parallel(Region region, void *data, unsigned threads, unsigned flags) {
    if (!real_parallel && !dl_iterate_phdr(find_parallel, NULL))
        abort();
    __atomic_add_fetch(&harness_delayed_regions, 1, __ATOMIC_RELAXED);
    struct delayed delayed = {region, data};
    real_parallel(run_delayed, &delayed, threads, flags);
}

/* Shifts the time of day of a program that preloads it by HARNESS_CLOCK_SHIFT_S seconds.
 *
 * Clocks that measure durations stay as they are. A program that waits until a time of day has
 * computed it from the shifted clock, so it is shifted back before the system waits for it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#define NEW_CONDITIONS "GLIBC_2.3.2" /* dlsym may find the older ones of x86-64 */
#define LONGEST_UPTIME_S ((time_t)1 << 30) /* 34 years: what is later is a time of day */

#define REAL(function) \
    static __typeof__(function) *real; \
    if (!real) \
        real = (__typeof__(function) *)dlsym(RTLD_NEXT, #function)

static time_t shift_s(void) {
    static time_t known;
    static int is_known;
    if (!is_known) {
        const char *text = getenv("HARNESS_CLOCK_SHIFT_S");
        known = text ? atoll(text) : 0;
        is_known = 1;
    }
    return known;
}

static int is_time_of_day(clockid_t clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

static struct timespec unshifted(const struct timespec *deadline) {
    struct timespec real = *deadline;
    if (real.tv_sec > LONGEST_UPTIME_S)
        real.tv_sec -= shift_s();
    return real;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int status = real(clock, now);
    if (status == 0 && is_time_of_day(clock))
        now->tv_sec += shift_s();
    return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    REAL(gettimeofday);
    int status = real(now, zone);
    if (status == 0)
        now->tv_sec += shift_s();
    return status;
}

int timespec_get(struct timespec *now, int base) {
    REAL(timespec_get);
    int found = real(now, base);
    if (found == TIME_UTC)
        now->tv_sec += shift_s();
    return found;
}

time_t time(time_t *kept) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* as the original, which may be behind the fine one */
    if (kept)
        *kept = now.tv_sec;
    return now.tv_sec;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted,
                    struct timespec *left) {
    REAL(clock_nanosleep);
    struct timespec until = *wanted;
    if ((flags & TIMER_ABSTIME) && is_time_of_day(clock))
        until = unshifted(wanted);
    return real(clock, flags, &until, left);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
    static __typeof__(pthread_cond_timedwait) *newer;
    REAL(pthread_cond_timedwait);
    if (!newer)
        newer = (__typeof__(pthread_cond_timedwait) *)dlvsym(
            RTLD_NEXT, "pthread_cond_timedwait", NEW_CONDITIONS);
    struct timespec until = unshifted(deadline);
    return (newer ? newer : real)(condition, mutex, &until);
}

int pthread_cond_clockwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           clockid_t clock, const struct timespec *restrict deadline) {
    REAL(pthread_cond_clockwait);
    struct timespec until = unshifted(deadline);
    return real(condition, mutex, clock, &until);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex,
                            const struct timespec *restrict deadline) {
    REAL(pthread_mutex_timedlock);
    struct timespec until = unshifted(deadline);
    return real(mutex, &until);
}

int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *deadline) {
    REAL(pthread_timedjoin_np);
    struct timespec until = unshifted(deadline);
    return real(thread, result, &until);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline) {
    REAL(sem_timedwait);
    struct timespec until = unshifted(deadline);
    return real(semaphore, &until);
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock,
                  const struct timespec *restrict deadline) {
    REAL(sem_clockwait);
    struct timespec until = unshifted(deadline);
    return real(semaphore, clock, &until);
}

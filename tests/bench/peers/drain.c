/* Reads what a server writes to many sockets, and counts it: `drain <fd> …`.
 *
 * `wait <messages>` on stdin is answered with "<messages> <frames>" on stdout once so many messages have come,
 * counted from the start. A message is a line of a data frame; a frame below SMALL bytes is none. "{}" is a
 * ping of csn_rt, and answered. The end of stdin is the end.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SMALL = 128, EVENTS = 256 };

static const unsigned char PONG[] = {0x81, 0x82, 0, 0, 0, 0, '{', '}'};

struct reading { /* where one socket stands in its frame */
    unsigned char head[10];
    int head_size;
    int is_ping;
    uint64_t size, left;
};

static uint64_t messages, frames;
static unsigned char buffer[1 << 18];

static uint64_t lines(const unsigned char *at, size_t size) {
    uint64_t found = 0;
    for (const unsigned char *end = at + size; (at = memchr(at, '\n', end - at)) != NULL; at++)
        found++;
    return found;
}

static void take(int fd, struct reading *socket, const unsigned char *at, size_t size) {
    while (size > 0) {
        if (socket->left == 0) {
            socket->head[socket->head_size++] = *at++;
            size--;
            int short_size = socket->head_size > 1 ? socket->head[1] & 0x7f : -1;
            int wanted = short_size == 127 ? 10 : short_size == 126 ? 4 : 2;
            if (socket->head_size < wanted)
                continue;
            socket->size = wanted == 2 ? (uint64_t)short_size : 0;
            for (int n = 2; n < wanted; n++)
                socket->size = socket->size << 8 | socket->head[n];
            socket->left = socket->size;
            socket->head_size = 0;
            socket->is_ping = socket->size == 2;
            if (socket->left > 0)
                continue;
        }
        size_t piece = size < socket->left ? size : socket->left;
        if (socket->size >= SMALL)
            messages += lines(at, piece);
        else if (socket->is_ping)
            socket->is_ping = piece == 2 && memcmp(at, "{}", 2) == 0;
        at += piece;
        size -= piece;
        socket->left -= piece;
        if (socket->left == 0 && socket->size >= SMALL) {
            messages++;
            frames++;
        } else if (socket->left == 0 && socket->is_ping && write(fd, PONG, sizeof PONG) < 0) {
            exit(1);
        }
    }
}

int main(int count, char **arguments) {
    int epoll = epoll_create1(0), top = 0;
    uint64_t wanted = UINT64_MAX;
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN, .data.fd = 0};
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
    for (int n = 1; n < count; n++) {
        event.data.fd = atoi(arguments[n]);
        top = event.data.fd > top ? event.data.fd : top;
        fcntl(event.data.fd, F_SETFL, O_NONBLOCK);
        epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
    }
    struct reading *sockets = calloc(top + 1, sizeof *sockets);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int n = 0; n < ready; n++) {
            int fd = events[n].data.fd;
            ssize_t size = read(fd, buffer, sizeof buffer - 1);
            if (size <= 0) /* the bench has ended, or a server closed a socket: then the answer never comes */
                return size < 0 || fd != 0;
            if (fd != 0) {
                take(fd, &sockets[fd], buffer, size);
            } else {
                buffer[size] = 0;
                wanted = strtoull((char *)buffer + strlen("wait "), NULL, 10);
            }
        }
        if (messages >= wanted) {
            printf("%llu %llu\n", (unsigned long long)messages, (unsigned long long)frames);
            fflush(stdout);
            wanted = UINT64_MAX;
        }
    }
}

/* The limit: the same bytes written to every socket, one after another, by a loop that does nothing else.
 *
 * `send_loop <sockets> <text>` prints its port, accepts, and obeys: `broadcast <messages>`, `cpu`.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ARRIVAL_S = 60 };

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int count, char **arguments) {
    if (count != 3)
        return 2;
    int size = atoi(arguments[1]), one = 1;
    size_t text = strlen(arguments[2]);
    unsigned char frame[1024] = {0x81, 126, text >> 8, text & 0xff};
    if (text < 126 || text > sizeof frame - 4)
        return 2;
    memcpy(frame + 4, arguments[2], text);

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_size = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 4096))
        return 1;
    getsockname(listening, (struct sockaddr *)&address, &address_size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    alarm(ARRIVAL_S); /* the end, should the bench die before all have come */
    int *sockets = calloc(size, sizeof *sockets);
    for (int n = 0; n < size; n++) {
        sockets[n] = accept(listening, NULL, NULL);
        setsockopt(sockets[n], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    alarm(0);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        int messages = 0;
        if (sscanf(line, "broadcast %d", &messages) == 1) {
            for (int message = 0; message < messages; message++)
                for (int n = 0; n < size; n++)
                    if (write(sockets[n], frame, text + 4) != (ssize_t)text + 4)
                        return 1;
            puts("done");
        } else {
            printf("%.6f\n", cpu_s());
        }
        fflush(stdout);
    }
}

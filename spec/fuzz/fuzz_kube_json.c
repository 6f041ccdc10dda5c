/* Any octets as JSON of the API server: what is handed out is the same whole and in pieces. The
 * first octet chooses list or watch and the kind, the second the size of the pieces. */
#include <stdint.h>
#include "../unit/kube_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    kube_shape shape = data[0] & 1 ? KUBE_WATCH : KUBE_LIST;
    kube_kind kind = (data[0] >> 1) % KUBE_KINDS;
    size_t piece = data[1] + 1u;
    char *whole = record_decoding(KUBE_JSON, shape, kind, data + 2, size - 2, size);
    char *pieces = record_decoding(KUBE_JSON, shape, kind, data + 2, size - 2, piece);
    /* The text of an error may quote the octets at hand, which are other ones. */
    char *end = strstr(whole, "error: ");
    size_t len = end ? (size_t)(end - whole) + 7 : strlen(whole) + 1;
    if (strncmp(whole, pieces, len))
        abort();
    free(whole);
    free(pieces);
    return 0;
}

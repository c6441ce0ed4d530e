/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/engines.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "mkfs/launch.h"
#include "mkfs/say.h"

enum { OUTPUT_MAX = 16 * 1024, NAME_MAX_LEN = 16, EXTENT_KIB_MAX = 1024 * 1024 };

struct engine {
	const char *name;
	int available, is_default;
	json_t *extents;
};

struct extent {
	json_int_t kib;
	double seal_mib_s, open_mib_s;
};

struct handles {
	json_int_t kib;
	double kept_ns, rotating_ns;
};

/* --- checking -------------------------------------------------------------------- */

/* Names end up on a terminal. */
static bool name_valid(const char *name)
{
	size_t len = strlen(name);

	return len && len <= NAME_MAX_LEN &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static bool kib_valid(json_int_t kib)
{
	return kib > 0 && kib <= EXTENT_KIB_MAX;
}

static bool read_extent(json_t *json, struct extent *extent)
{
	return !json_unpack_ex(json, NULL, JSON_STRICT, "{s:I, s:F, s:F}", "extent_kib",
			       &extent->kib, "seal_mib_s", &extent->seal_mib_s,
			       "open_mib_s", &extent->open_mib_s) &&
	       kib_valid(extent->kib) && extent->seal_mib_s > 0 && extent->open_mib_s > 0;
}

static bool read_handles(json_t *json, struct handles *handles)
{
	return !json_unpack_ex(json, NULL, JSON_STRICT, "{s:I, s:F, s:F}", "extent_kib",
			       &handles->kib, "kept_ns", &handles->kept_ns, "rotating_ns",
			       &handles->rotating_ns) &&
	       kib_valid(handles->kib) && handles->kept_ns > 0 &&
	       handles->rotating_ns > 0;
}

static bool read_engine(json_t *json, struct engine *engine)
{
	struct extent extent;

	if (json_unpack_ex(json, NULL, JSON_STRICT, "{s:s, s:b, s:b, s:o}", "engine",
			   &engine->name, "available", &engine->available, "default",
			   &engine->is_default, "extents", &engine->extents) ||
	    !name_valid(engine->name) || !json_is_array(engine->extents) ||
	    engine->available != (json_array_size(engine->extents) > 0))
		return false;
	for (size_t i = 0; i < json_array_size(engine->extents); i++)
		if (!read_extent(json_array_get(engine->extents, i), &extent))
			return false;
	return true;
}

static bool figures_valid(json_t *figures)
{
	struct engine engine;
	struct handles handles;
	json_t *engines, *chain;

	if (json_unpack_ex(figures, NULL, JSON_STRICT, "{s:o, s:o}", "engines", &engines,
			   "handles", &chain) ||
	    !json_array_size(engines) || !read_handles(chain, &handles))
		return false;
	for (size_t i = 0; i < json_array_size(engines); i++)
		if (!read_engine(json_array_get(engines, i), &engine))
			return false;
	return true;
}

/* --- saying: what has been checked ----------------------------------------------- */

static void print_engine(const struct engine *engine)
{
	if (!engine->available)
		printf("%19s not available on this processor\n", engine->name);
	for (size_t i = 0; i < json_array_size(engine->extents); i++) {
		struct extent extent;

		read_extent(json_array_get(engine->extents, i), &extent);
		printf("%19s %9u %10.1f MiB/s %10.1f MiB/s\n", engine->name,
		       (unsigned)extent.kib, extent.seal_mib_s, extent.open_mib_s);
	}
}

static void print_figures(json_t *figures)
{
	json_t *engines = json_object_get(figures, "engines");
	const char *taken = NULL;
	struct handles handles;

	printf("#            Engine    Extent           seal             open\n"
	       "#                         KiB\n");
	for (size_t i = 0; i < json_array_size(engines); i++) {
		struct engine engine;

		read_engine(json_array_get(engines, i), &engine);
		print_engine(&engine);
		if (engine.is_default)
			taken = engine.name;
	}
	if (taken)
		printf("# hsmd takes %s if none is named.\n", taken);
	read_handles(json_object_get(figures, "handles"), &handles);
	printf("handles   %u KiB sealed in %.0f ns with handles that rotate, %.0f ns "
	       "with one that does not\n",
	       (unsigned)handles.kib, handles.rotating_ns, handles.kept_ns);
	fflush(stdout);
}

int engines_benchmark(json_t *out)
{
	char text[OUTPUT_MAX];
	json_t *figures;
	int code = launch_benchmark(text, sizeof(text));

	if (code)
		return code;
	figures = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (!figures_valid(figures))
		code = say_error(EXIT_INVALID,
				 "What hsmd --benchmark prints cannot be understood; is "
				 "hsmd of the same version as hsmsetup?");
	else if (!out)
		print_figures(figures);
	else if (json_object_update(out, figures))
		code = say_error(EXIT_MEMORY, "Out of memory.");
	json_decref(figures);
	return code;
}

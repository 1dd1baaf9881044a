/* SPDX-License-Identifier: Apache-2.0 */
/* llq devices: where a model can run. */
#include <string.h>

#include "command.h"

static json_t *device_json(const llq_device_info *device,
                           const llq_device_rates *rates) {
  return json_pack("{s:s, s:i, s:b, s:s, s:s, s:s, s:I, s:I, s:i, s:s, s:o*}",
                   "backend", device->backend, "index", device->index, "usable",
                   device->usable, "name", device->name, "arch", device->arch,
                   "reason", device->reason, "memory_bytes",
                   (json_int_t)device->memory_bytes, "memory_free_bytes",
                   (json_int_t)device->memory_free_bytes, "n_units",
                   device->n_units, "driver", device->driver, "rates",
                   rates != NULL ? command_rates_json(rates) : NULL);
}

static void print_device(const llq_device_info *device) {
  printf("%s:%d  %s", device->backend, device->index, device->name);
  if (!device->usable) {
    printf("  not usable: %s\n", device->reason);
    return;
  }
  printf("  %s, %d %s", device->arch, device->n_units,
         strcmp(device->backend, "cpu") == 0 ? "cores" : "multiprocessors");
  if (device->memory_bytes > 0)
    printf(", %.1f GiB memory, %.1f GiB free",
           (double)device->memory_bytes / (1 << 30),
           (double)device->memory_free_bytes / (1 << 30));
  printf("%s%s\n", device->driver[0] ? ", driver " : "", device->driver);
}

/* What a device moves and multiplies; zeros where it has no such measurement. */
static int measure(const llq_device_info *device, llq_device_rates *rates) {
  char name[64];
  struct common_options options = {.backend = name};
  llq_backend *backend;
  snprintf(name, sizeof name, "%s:%d", device->backend, (int)device->index);
  int status = command_open_backend(&options, &backend);
  if (status < 0)
    return status;
  status = llq_backend_measure(backend, rates);
  llq_backend_close(backend);
  return status == LLQ_ERROR_UNSUPPORTED ? LLQ_OK : status;
}

int run_devices(const struct command *command, int argc, char **argv) {
  int json = 0, measures = 0;
  const struct option options[] = {
      {"measure", OPTION_FLAG, &measures, NULL,
       "measure memory, upload and product rates of GPUs, too"},
      {"json", OPTION_FLAG, &json, NULL, "print machine-readable output"},
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, NULL, 0);
  if (exit_status >= 0)
    return exit_status;
  size_t n;
  if (llq_device_count(&n) < 0)
    return command_failed(command);
  json_t *list = json ? json_array() : NULL;
  for (size_t i = 0; i < n; i++) {
    llq_device_info device = LLQ_DEVICE_INFO_INIT;
    llq_device_rates rates = LLQ_DEVICE_RATES_INIT;
    if (llq_device_get(i, &device) < 0 ||
        (measures && device.usable && measure(&device, &rates) < 0)) {
      json_decref(list);
      return command_failed(command);
    }
    if (json) {
      json_array_append_new(list,
                            device_json(&device, measures ? &rates : NULL));
    } else {
      print_device(&device);
      command_print_rates(&rates);
    }
  }
  return json ? command_print_json(command, list) : EXIT_DONE;
}

# SPDX-License-Identifier: MIT
"""Bulk: our own vhost-user front end, which does less than DPDK's and takes frames still to be segmented."""
import contextlib

import benches
from plan import Plan, common_args
from running import lines_of

RING = 1024


class BulkPlan(Plan):
    @contextlib.contextmanager
    def around(self, env, running):
        """What is there while the tests run."""
        yield

    def after(self):
        """More lines, once it is gone."""
        return ()

    def measure(self, env):
        def tests(running):
            argv = [env.program("front"), *common_args(env, running, self.test_secs),
                    "-s", running.sock, "-r", str(RING), *self.tests]
            with self.around(env, running):
                for line in lines_of(argv, env.load_core, self.limit()):
                    fields = benches.parse(line)
                    del fields["links"]
                    yield fields
            yield from self.after()

        return self.with_backend(env, "vhost-user", tests)

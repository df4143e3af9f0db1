/* SPDX-License-Identifier: MIT */
/* The public header as a C++ program uses it: it compiles, links and runs. */
#include <vmtap/vmtap.h>

#include <cstring>

namespace
{

unsigned take_frames(void *opaque, const vmtap_frame *frames, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		*static_cast<unsigned *>(opaque) += frames[i].len;
	return cnt;
}

bool moves_a_frame(vmtap *v, const vmtap_app_ops &ops)
{
	vmtap_error err {};
	unsigned got[2] {};
	const char frame[60] {};
	vmtap_port *a = vmtap_app_new(v, "a", &ops, &got[0], &err);
	vmtap_port *b = vmtap_app_new(v, "b", &ops, &got[1], &err);

	return a && b && vmtap_link_new(v, a, b, &err) &&
	       vmtap_send(a, frame, sizeof(frame), nullptr, nullptr) == 60 && got[1] == 60;
}

} // namespace

int main()
{
	vmtap_error err {};
	vmtap_app_ops ops {}; // outlives the ports
	vmtap *v = vmtap_new(nullptr, &err);

	ops.size = sizeof(ops);
	ops.frames = take_frames;
	if (!v || std::strcmp(vmtap_version(), VMTAP_VERSION) != 0)
		return 1;
	const bool moved = moves_a_frame(v, ops);
	vmtap_free(v);
	return moved ? 0 : 2;
}

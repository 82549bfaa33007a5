#pragma once
namespace gloo { class Algorithm; }
